"""What every built-in release source promises. A new one needs a line in `EXAMPLES`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from anomaly.checklist import registry
from anomaly.checklist.registry import RELEASES as KIND
from anomaly.checklist.registry import Plugin
from anomaly.contracts import ReleaseSource
from anomaly.errors import ChecklistError, CollectError
from anomaly.model import Release, Window
from tests.support.examples import RELEASES, SECRET, STEP, WINDOW, Example, Place, State

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

EXAMPLES: dict[str, Callable[[Place], Example]] = {
    "prometheus": lambda place: Example(
        {
            "url": place.versions(),
            "query": "build_info",
            "label": "version",
            "bearer_token": SECRET,
        }
    ),
    "git": lambda place: Example({"path": place.tags(), "tags": "*"}),
    "json": lambda place: Example({"path": place.release_list()}),
    "github": lambda place: Example(
        {
            "api": place.github_deployments(),
            "repository": "acme/shop",
            "environment": "production",
            "token": SECRET,
        }
    ),
    "gitlab": lambda place: Example(
        {
            "api": place.gitlab_deployments(),
            "project": "acme/shop",
            "environment": "production",
            "token": SECRET,
        }
    ),
    "launchdarkly": lambda place: Example(
        {
            "api": place.launchdarkly(),
            "project": "shop",
            "environment": "production",
            "flags": "*",
            "token": SECRET,
        }
    ),
    "unleash": lambda place: Example(
        {
            "url": place.unleash(),
            "project": "shop",
            "environment": "production",
            "flags": "*",
            "token": SECRET,
        }
    ),
    "argocd": lambda place: Example(
        {
            "url": place.argocd(),
            "application": "shop",
            "namespace": "shops",
            "image": "",
            "token": SECRET,
        }
    ),
    "ci": lambda place: Example(outside={"environ": place.pipeline("3.0")}, versions=("3.0",)),
}


@dataclass(frozen=True)
class Subject:
    """A release source under test: its type, and how it is set up."""

    type: str
    example: Example

    def plugin(self, **more: object) -> Plugin:
        settings = {**self.example.settings, **more}
        return Plugin(self.type, settings, where="checklist.yaml:3: releases[0]")

    def source(self) -> ReleaseSource:
        return registry.release_source(self.plugin(), sleep=lambda _: None, **self.example.outside)

    def releases(self, window: Window = WINDOW) -> list[Release]:
        return [*self.source().discover(window)]


@pytest.fixture(params=EXAMPLES)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    with ExitStack() as running:
        yield Subject(request.param, EXAMPLES[request.param](Place(tmp_path, running)))


@pytest.fixture(params=EXAMPLES)
def dead_subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """A release source that nobody answers for."""
    with ExitStack() as running:
        place = Place(tmp_path, running, State.GONE)
        yield Subject(request.param, EXAMPLES[request.param](place))


@pytest.fixture(params=EXAMPLES)
def subject_without_zones(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """A release source whose times lack their zone, if they are written as text."""
    with ExitStack() as running:
        place = Place(tmp_path, running, State.WITHOUT_ZONES)
        yield Subject(request.param, EXAMPLES[request.param](place))


def starts(releases: list[Release]) -> list[tuple[str, datetime]]:
    return [(each.version, each.started_at) for each in releases]


def true_starts(subject: Subject, window: Window = WINDOW) -> list[tuple[str, datetime]]:
    return [
        (version, at)
        for version, at in RELEASES.items()
        if version in subject.example.versions and window.start <= at < window.end
    ]


def test_the_releases_of_the_half_open_window_come_in_order_of_time(subject: Subject) -> None:
    releases = subject.releases()
    assert starts(releases) == true_starts(subject)
    assert all(each.started_at.utcoffset() == timedelta(0) for each in releases)
    assert all(each.started_at <= each.finished for each in releases)


def test_two_windows_side_by_side_share_no_release_and_lose_none(subject: Subject) -> None:
    middle = RELEASES["3.0"]
    windows = (Window(WINDOW.start, middle), Window(middle, WINDOW.end + STEP))
    found = [starts(subject.releases(window)) for window in windows]
    assert found == [true_starts(subject, window) for window in windows]


@pytest.mark.slow
def test_a_window_before_all_releases_has_none(subject: Subject) -> None:
    """A source may also say that it does not reach that far back."""
    try:
        releases = subject.releases(Window(WINDOW.start - 400 * STEP, WINDOW.start - 300 * STEP))
    except CollectError:
        return
    assert releases == []


@pytest.mark.slow
def test_the_same_question_gets_the_same_answer(subject: Subject) -> None:
    source = subject.source()
    assert source.discover(WINDOW) == source.discover(WINDOW)


def test_a_dead_source_raises_collect_error(dead_subject: Subject) -> None:
    with pytest.raises(CollectError) as caught:
        dead_subject.releases()
    assert str(caught.value).strip()
    assert SECRET not in f"{caught.value} {caught.value!r}"


def test_a_time_without_a_zone_is_refused(subject_without_zones: Subject) -> None:
    """Where a source counts seconds, or asks for moments, there is none."""
    refusal = ""
    try:
        releases = subject_without_zones.releases()
    except CollectError as error:
        refusal = str(error)
    else:
        assert starts(releases) == true_starts(subject_without_zones)
    assert not refusal or "zone" in refusal


def test_an_unknown_setting_is_reported_with_its_place(subject: Subject) -> None:
    with pytest.raises(
        ChecklistError, match=r"releases\[0\]\.colour is an unknown key; use one of"
    ):
        registry.release_source(subject.plugin(colour="blue"))


def test_the_settings_survive_the_registry(subject: Subject) -> None:
    settings = registry.full_settings(subject.plugin(), KIND)
    assert {*subject.example.settings} <= {*settings}
    assert registry.problems(subject.plugin(), KIND) == []


def test_a_release_source_describes_itself_and_shows_no_secret(subject: Subject) -> None:
    source = subject.source()
    assert (type(source).__doc__ or "").strip()
    assert SECRET not in f"{source} {source!r}"
