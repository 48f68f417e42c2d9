"""Hooks in the checklist."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly.checklist.checklist import Checklist, load
from anomaly.errors import ChecklistError
from anomaly.model import Occasion

SMALL = """\
service: shop
sources: {data: {type: files, path: shop.csv}}
kpis: [{name: orders, query: orders}]
"""
ABORT = "{type: command, run: [kubectl, argo, rollouts, abort, shop]}"


def loaded(more: str, **options: str) -> Checklist:
    return load(Path("checklist.yaml"), text=(SMALL + more).encode(), environ={}, **options)


def names(checklist: Checklist) -> list[str]:
    return [hook.name for hook in checklist.hooks]


def test_they_are_named_by_their_occasion_and_numbered_and_dry_unless_it_is_said() -> None:
    text = (
        f"on: {{pass: [{ABORT}], fire: [{ABORT}, "
        "{type: webhook, url: 'https://flags.example.com/off'}]}\n"
    )
    assert names(loaded(text)) == ["on fire (dry run)", "on fire 2 (dry run)", "on pass (dry run)"]
    armed = loaded(text.replace("{pass", "{dry_run: false, pass"))
    assert names(armed) == ["on fire", "on fire 2", "on pass"]
    assert [hook.occasion for hook in armed.hooks] == [Occasion.FIRE] * 2 + [Occasion.PASS]
    assert names(loaded("")) == []


def test_an_environment_has_its_own_or_none() -> None:
    text = (
        f"on: {{dry_run: false, fire: [{ABORT}]}}\n"
        "environments:\n"
        "  staging: {on: {}}\n"
        f"  test: {{on: {{hold: [{ABORT}]}}}}\n"
        "  production: {}\n"
    )
    assert names(loaded(text, environment="production")) == ["on fire"]
    assert names(loaded(text, environment="staging")) == []
    assert names(loaded(text, environment="test")) == ["on hold (dry run)"]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            f"on: {{failed: [{ABORT}]}}",
            "4: on.failed is an unknown key; use one of dry_run, fire, hold, resolve, pass",
        ),
        (f"on: {{fire: {ABORT}}}", "4: on.fire is a mapping; it must be a list"),
        ("on: {fire: [{type: commandd}]}", r"on.fire\[0\].type is .* \(did you mean command\?\)"),
        (
            "on: {fire: [{type: command}]}",
            r"on.fire\[0\].run is missing; the type command needs it",
        ),
        ("on: {fire: [{type: command, run: kubectl}]}", "it must be a list of texts"),
        ("on: {fire: [{type: console}]}", r"on.fire\[0\].type is 'console', which nobody reads"),
        (f"on: {{resolve: [{ABORT}]}}", r"on.resolve\[0\] never runs: there is no hook for fire"),
        (f"on: {{fire: [{ABORT}, {ABORT}]}}", r"on.fire\[1\] is the same as on.fire\[0\]"),
        ("on: {fire: [{type: command, run: ['${NO}']}]}", "NO"),
        ("on: {dry_run: maybe}", "4: on.dry_run is .*; use one of true, false"),
        (
            f"environments: {{a: {{on: {{fires: [{ABORT}]}}}}}}\nenvironment: a",
            r"on.fires is an unknown key \(did you mean fire\?\); use one of dry_run, fire",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(more: str, problem: str) -> None:
    with pytest.raises(ChecklistError, match=problem):
        loaded(more + "\n")
