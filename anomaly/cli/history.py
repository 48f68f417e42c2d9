"""`anomaly history`, `show`, `ack` and `prune`: past releases, and feedback on alarms."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anomaly.cli.check import show as show_report
from anomaly.cli.exit_codes import ExitCode
from anomaly.cli.forms import Forms, Markdown, Pictures, Points, written
from anomaly.cli.options import Environment, OfChecklist, Output, ReportTo, StoreAt
from anomaly.cli.session import Session
from anomaly.cli.storing import history as opened_history
from anomaly.cli.storing import named
from anomaly.errors import UsageError

if TYPE_CHECKING:
    from anomaly.history.records import FindingRecord, Look, ReleaseRecord
    from anomaly.history.store import Store

MOST = 50  # releases in the list


def history(
    context: typer.Context,
    release: Annotated[
        str | None,
        typer.Argument(metavar="[RELEASE]", help="id (or unique prefix) of a release."),
    ] = None,
    *,
    service: Annotated[str, typer.Option(metavar="NAME", help="Only this service.")] = "",
    environment: Environment = None,
    checklist_path: OfChecklist = None,
    store_at: StoreAt = None,
    output: Annotated[Output, typer.Option(help="Output format.")] = Output.TABLE,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write a page of all releases, with links to reports beside it."
        ),
    ] = None,
) -> ExitCode:
    """List releases and their verdicts, or show one release.

    One release is shown with its looks, findings and notifications.
    """
    session: Session = context.obj
    checklist = named(checklist_path, environment, session)
    place = checklist.environment if checklist is not None else environment
    service_name = service or (checklist.service if checklist is not None else "")
    from anomaly.cli.history_page import write
    from anomaly.cli.history_table import one, several
    from anomaly.history.overview import statuses_of, summary

    with opened_history(store_at, checklist, session) as store:
        if release is not None:
            if html is not None:
                raise UsageError(
                    "--html is a page of all releases; leave out the release, or use: anomaly "
                    "show ID --report FILE"
                )
            story = _story(store, _release_of(store, store.find(release)))
            session.show(json.dumps(story, indent=2) if output is Output.JSON else one(story))
            return ExitCode.PASS
        latest = statuses_of(store, service_name or None, place or None)
        stories = [summary(*each) for each in latest]
        count, incidents = store.feedback()
        feedback = {"judged": count, "incidents": incidents}
        if html is not None:
            page = {"releases": stories, "feedback": feedback}
            title = " in ".join(part for part in (service_name, place) if part)
            write(html, store, latest, checklist, page, title)
    if output is Output.JSON:
        session.show(json.dumps({"releases": stories, "feedback": feedback}, indent=2))
    else:
        session.show(several(stories[:MOST], feedback, more=max(0, len(stories) - MOST)))
    return ExitCode.PASS


def show(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID|FILE",
            help="id (or unique prefix) of a release, look or finding; or an HTML/JSON report.",
        ),
    ],
    *,
    environment: Environment = None,
    checklist_path: OfChecklist = None,
    store_at: StoreAt = None,
    output: Annotated[Output, typer.Option(help="Output format.")] = Output.TABLE,
    report: ReportTo = None,
    pictures: Pictures = None,
    markdown: Markdown = None,
    points: Points = None,
) -> ExitCode:
    """Show a stored report again.

    The report of a look, the latest about a release or finding, or one from a file.
    """
    session: Session = context.obj
    forms = Forms(pictures, markdown, points)
    from anomaly.history.kept_report import POINTS
    from anomaly.history.records import FindingRecord, finding_id, receipts_of, release_id
    from anomaly.reporting import archive

    record = None
    if archive.is_file(name):
        stored, deliveries = archive.read(Path(name))
    else:
        with opened_history(
            store_at, named(checklist_path, environment, session), session
        ) as store:
            record = store.find(name)
            stored = store.report(store.look_of(record))
            deliveries = receipts_of(store.messages(_release_of(store, record).id))
    is_written = written(report, stored, release_id(stored.release), deliveries)
    is_written &= forms.write(stored)
    if isinstance(record, FindingRecord) and output is Output.TABLE:
        from anomaly.cli.explanation import explanation

        about = (each for each in stored.findings if finding_id(stored.release, each) == record.id)
        session.show("\n\n".join(explanation(each, stored) for each in about))
    else:
        show_report(stored, output, session, deliveries)
    if (source := stored.made.get(POINTS)) and output is Output.TABLE:
        session.show(f"\npoints: {source}")
    return ExitCode.PASS if is_written else ExitCode.NOT_TOLD


def ack(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="ID", help="id (or unique prefix) of a release or finding.")
    ],
    *,
    not_an_incident: Annotated[
        bool, typer.Option("--not-an-incident", help="It was a false alarm.")
    ] = False,
    note: Annotated[str, typer.Option(metavar="TEXT", help="A note to keep with it.")] = "",
    environment: Environment = None,
    checklist_path: OfChecklist = None,
    store_at: StoreAt = None,
) -> ExitCode:
    """Acknowledge a failure: notify again only if it gets worse.

    Later baselines leave out an incident.
    """
    session: Session = context.obj
    from anomaly.history.records import Look

    with opened_history(store_at, named(checklist_path, environment, session), session) as store:
        record = store.find(name)
        if isinstance(record, Look):
            raise UsageError(
                f"{name} is a look; acknowledge its release {record.release_id[:8]}, or one of "
                "its findings"
            )
        store.acknowledge(record, incident=not not_an_incident, note=note, at=datetime.now(UTC))
        count, incidents = store.feedback()
    kind = "a false alarm" if not_an_incident else "an incident"
    session.show(f"acknowledged as {kind}: {_name(record)}")
    from anomaly.cli.history_table import feedback_line

    session.show(feedback_line({"judged": count, "incidents": incidents}))
    return ExitCode.PASS


def prune(
    context: typer.Context,
    *,
    older_than: Annotated[
        str, typer.Option(metavar="DURATION", help="Age of the releases to delete, such as 90d.")
    ],
    environment: Environment = None,
    checklist_path: OfChecklist = None,
    store_at: StoreAt = None,
) -> ExitCode:
    """Delete old releases from the history.

    Releases under watch or with unsent notifications are kept.
    """
    session: Session = context.obj
    from anomaly.timing.durations import parse_duration

    try:
        age = parse_duration(older_than)
    except UsageError as error:
        raise UsageError(f"--older-than: {error}") from None
    with opened_history(store_at, named(checklist_path, environment, session), session) as store:
        count = store.prune(datetime.now(UTC) - age)
    session.show(f"deleted {count} release{'' if count == 1 else 's'}")
    return ExitCode.PASS


def _release_of(store: Store, record: ReleaseRecord | Look | FindingRecord) -> ReleaseRecord:
    from anomaly.history.records import ReleaseRecord

    if isinstance(record, ReleaseRecord):
        return record
    return store.releases(ids=[record.release_id])[0]


def _name(record: ReleaseRecord | FindingRecord) -> str:
    from anomaly.history.records import FindingRecord
    from anomaly.reporting.notice import release_words
    from anomaly.reporting.words import TOTAL, segment_words
    from anomaly.wording import plain

    if isinstance(record, FindingRecord):
        part = TOTAL if record.total else segment_words(record.segment)
        return plain(record.kpi, 60) + (f" ({part})" if part else "")
    return release_words(record.release)


def _story(store: Store, record: ReleaseRecord) -> dict[str, Any]:
    """A release with its looks, findings and messages, as JSON-able data."""
    from anomaly.history.overview import summary
    from anomaly.wording import stamp

    looks = store.looks(record.id)
    last = {each.id: each for each in store.findings(record.id)}
    return summary(record, looks[-1] if looks else None, store.acks(record.id)) | {
        "looked": [
            {
                "id": look.id,
                "at": stamp(look.at),
                "verdict": str(look.verdict),
                "final": look.final,
                "headline": look.headline,
            }
            for look in looks
        ],
        "findings": [
            {
                "id": each.id,
                "name": _name(each),
                "verdict": str(each.verdict),
                "fails": each.fails,
                "effect": each.effect,
            }
            for each in last.values()
        ],
        "messages": [
            {
                "at": stamp(each.at),
                "sink": each.sink,
                "action": str(each.action),
                "why": each.why,
                "progress": str(each.progress),
                "attempts": each.attempts,
                "detail": each.detail,
            }
            for each in store.messages(record.id)
        ],
    }
