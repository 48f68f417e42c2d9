"""The history as narrow tables of plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from anomaly.reporting.message import NEWS
from anomaly.wording import clock, percent, plain

HOOK = "on "  # begins the name of a hook
WIDTH = 80


def several(stories: Sequence[Mapping[str, Any]], feedback: Mapping[str, int], *, more: int) -> str:
    """A line per release, newest first, with its headline under it."""
    if not stories:
        return "no releases yet; record one with: anomaly release start"
    lines = []
    for story in stories:
        began = clock(_moment(story["started_at"]), None)
        lines.append(
            f"{story['id'][:8]}  {began}  {_name(story)}  {_state(story)}{_feedback(story)}"
        )
        lines += _wrapped(story["headline"])
    if more:
        lines.append(f"and {more} more; --output json lists all")
    lines += ["", feedback_line(feedback)]
    return "\n".join(lines).rstrip()


def one(story: Mapping[str, Any]) -> str:
    """One release: its looks, the findings of the last one, the notifications. Times are UTC."""
    began = _moment(story["started_at"])
    day = began.date()
    lines = [f"{_name(story)}, began {clock(began, None)}Z, {_state(story)}{_feedback(story)}"]
    if story["looked"]:
        lines += ["", "Looks"]
    before = ""
    for look in story["looked"]:
        is_same = look["headline"] == before
        before = look["headline"]
        lines.append(
            f"  {look['id'][:8]}  {clock(_moment(look['at']), day)}  "
            f"{'as before' if is_same else plain(look['headline'], 400)}"
        )
    if story["findings"]:
        lines += ["", "Findings of the last look"]
    for finding in story["findings"]:
        effect = (
            ""
            if finding["effect"] is None
            else f"  {'+' if finding['effect'] >= 0 else ''}{percent(finding['effect'])}"
        )
        lines.append(
            f"  {finding['id'][:8]}  {finding['verdict'].replace('_', ' '):<12}  "
            f"{finding['name']}{effect}"
        )
    news = [each for each in story["messages"] if each["why"] in NEWS]
    if news:
        lines += ["", "Notifications"]
    for each in news:
        tries = f" after {each['attempts']} attempts" if each["attempts"] > 1 else ""
        detail = (
            f": {plain(each['detail'], 200)}"
            if each["detail"] and (each["progress"] != "sent" or each["sink"].startswith(HOOK))
            else ""
        )
        line = (
            f"{clock(_moment(each['at']), day)}  {plain(each['sink'], 40)}  {each['action']} "
            f"({each['why']}), {each['progress']}"
        )
        lines.append(f"  {line}{tries}{detail}")
    return "\n".join(line if len(line) <= WIDTH else _folded(line) for line in lines)


def feedback_line(feedback: Mapping[str, int]) -> str:
    """`6 of 7 alarms with feedback were incidents`; empty without feedback."""
    count, incidents = feedback["judged"], feedback["incidents"]
    if not count:
        return ""
    were = "was an incident" if incidents == 1 else "were incidents"
    alarms = f"alarm{'' if count == 1 else 's'} with feedback"
    return f"{incidents or 'none'} of {count} {alarms} {were}"


def _name(story: Mapping[str, Any]) -> str:
    name = " ".join(plain(story[part], 60) for part in ("service", "version") if story[part])
    return f"{name} in {plain(story['environment'], 60)}" if story["environment"] else name


def _state(story: Mapping[str, Any]) -> str:
    if story["verdict"] is None:
        return f"{story['state']}, not judged yet"
    looks = f"{story['looks']} look{'' if story['looks'] == 1 else 's'}"
    return (
        f"{story['verdict']} after {looks}"
        if story["final"]
        else f"{story['state']}, {story['verdict']} after {looks}"
    )


def _feedback(story: Mapping[str, Any]) -> str:
    acks = story["acknowledged"]
    if not acks:
        return ""
    incident = any(each["incident"] for each in acks)
    return ", acknowledged" + ("" if incident else " as a false alarm")


def _wrapped(text: str) -> list[str]:
    return (
        textwrap.wrap(plain(text, 400), WIDTH, initial_indent=" " * 10, subsequent_indent=" " * 10)
        if text
        else []
    )


def _folded(line: str) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + 10)
    return textwrap.fill(
        line, WIDTH, subsequent_indent=indent, drop_whitespace=True, break_long_words=False
    )


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
