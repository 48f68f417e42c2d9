"""The history as people read it: narrow tables of plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from anomaly.notify.policy import NEWS
from anomaly.wording import clock, percent, plain

WIDTH = 80


def several(stories: Sequence[Mapping[str, Any]], feedback: Mapping[str, int], *, more: int) -> str:
    """A line for each release, newest first, with its headline under it."""
    if not stories:
        return "no releases are known; tell of them by: anomaly release start"
    out = []
    for story in stories:
        began = clock(_moment(story["started_at"]), None)
        out.append(f"{story['id'][:8]}  {began}  {_name(story)}  {_state(story)}{_said(story)}")
        out += _wrapped(story["headline"])
    if more:
        out.append(f"and {more} more; --output json lists all")
    out.append("")
    out.append(feedback_line(feedback))
    return "\n".join(out).rstrip()


def one(story: Mapping[str, Any]) -> str:
    """The story of one release: looks, the findings of the last one, who was told. Times are
    UTC."""
    began = _moment(story["started_at"])
    day = began.date()
    out = [f"{_name(story)}, began {clock(began, None)}Z, {_state(story)}{_said(story)}"]
    if story["looked"]:
        out += ["", "Looks"]
    before = ""
    for look in story["looked"]:
        same = look["headline"] == before
        before = look["headline"]
        out.append(
            f"  {look['id'][:8]}  {clock(_moment(look['at']), day)}  "
            f"{'as before' if same else plain(look['headline'], 400)}"
        )
    if story["findings"]:
        out += ["", "Findings of the last look"]
    for found in story["findings"]:
        effect = (
            ""
            if found["effect"] is None
            else f"  {'+' if found['effect'] >= 0 else ''}{percent(found['effect'])}"
        )
        out.append(
            f"  {found['id'][:8]}  {found['verdict'].replace('_', ' '):<12}  "
            f"{found['name']}{effect}"
        )
    news = [each for each in story["messages"] if each["why"] in NEWS]
    if news:
        out += ["", "Told"]
    for each in news:
        tries = f" after {each['attempts']} attempts" if each["attempts"] > 1 else ""
        detail = (
            f": {plain(each['detail'], 200)}"
            if each["detail"] and each["progress"] != "sent"
            else ""
        )
        line = (
            f"{clock(_moment(each['at']), day)}  {plain(each['sink'], 40)}  {each['action']} "
            f"({each['why']}), {each['progress']}"
        )
        out.append(f"  {line}{tries}{detail}")
    return "\n".join(line if len(line) <= WIDTH else _folded(line) for line in out)


def feedback_line(feedback: Mapping[str, int]) -> str:
    """`of 7 alarms with feedback 6 were incidents`; nothing without feedback."""
    judged, incidents = feedback["judged"], feedback["incidents"]
    if not judged:
        return ""
    were = "was an incident" if incidents == 1 else "were incidents"
    return (
        f"of {judged} alarm{'' if judged == 1 else 's'} with feedback {incidents or 'none'} {were}"
    )


def _name(story: Mapping[str, Any]) -> str:
    named = " ".join(plain(story[part], 60) for part in ("service", "version") if story[part])
    return f"{named} in {plain(story['environment'], 60)}" if story["environment"] else named


def _state(story: Mapping[str, Any]) -> str:
    if story["verdict"] is None:
        return f"{story['state']}, not judged yet"
    looks = f"{story['looks']} look{'' if story['looks'] == 1 else 's'}"
    return (
        f"{story['verdict']} after {looks}"
        if story["final"]
        else f"{story['state']}, {story['verdict']} after {looks}"
    )


def _said(story: Mapping[str, Any]) -> str:
    known = story["acknowledged"]
    if not known:
        return ""
    incident = any(each["incident"] for each in known)
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
