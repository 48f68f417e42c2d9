"""The page of a release: the verdict, the KPIs, the most important first, and all evidence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from anomaly import wording
from anomaly.errors import UsageError
from anomaly.model import (
    UNJUDGED,
    WORST_FIRST,
    Calendar,
    Changes,
    Commit,
    Direction,
    Finding,
    KpiSeverity,
    Release,
    ReleaseVerdict,
    Verdict,
    Window,
)
from anomaly.reporting import archive, explanations, words
from anomaly.reporting.data import receipt_data
from anomaly.reporting.evidence import lines
from anomaly.reporting.foremost import foremost
from anomaly.reporting.message import Action, Message, Receipt
from anomaly.reporting.notice import notice, release_words
from anomaly.reporting.page_data import packed
from anomaly.reporting.pages.document import Live, document
from anomaly.reporting.report import TIMEZONE, Report
from anomaly.steps import CalendarStep, CalendarZone
from anomaly.timing.durations import duration_text

LONGEST_NAME, LONGEST_TEXT = 120, 4000  # characters of foreign text
MOST_PARTS = 100  # segments of a total that are named
STYLES = ("uplot/uPlot.min.css", "page.css", "release.css")
SCRIPTS = ("uplot/uPlot.iife.min.js", "page.js", "release.js")
SHAPES = {  # distinct without colour
    Verdict.REGRESSED: "✗",
    Verdict.NO_DATA: "∅",
    Verdict.ERROR: "!",
    Verdict.INCONCLUSIVE: "?",
    Verdict.RECOVERED: "↺",
    Verdict.IMPROVED: "▲",
    Verdict.OK: "✓",
}
TONES = {
    Verdict.REGRESSED: "bad",
    Verdict.NO_DATA: "open",
    Verdict.ERROR: "open",
    Verdict.INCONCLUSIVE: "open",
    Verdict.RECOVERED: "good",
    Verdict.IMPROVED: "good",
    Verdict.OK: "calm",
}
OPEN = {Verdict.ERROR: "errors", Verdict.NO_DATA: "no data", Verdict.INCONCLUSIVE: "undecided"}
RELEASE_SHAPES = {
    ReleaseVerdict.FAIL: "✗",
    ReleaseVerdict.HOLD: "✗",
    ReleaseVerdict.PASS: "✓",
    ReleaseVerdict.INCONCLUSIVE: "?",
    ReleaseVerdict.ERROR: "!",
}
RELEASE_TONES = {
    ReleaseVerdict.FAIL: "bad",
    ReleaseVerdict.HOLD: "bad",
    ReleaseVerdict.PASS: "good",
    ReleaseVerdict.INCONCLUSIVE: "open",
    ReleaseVerdict.ERROR: "open",
}
SETTINGS = {"anomaly": "version", "checklist": "checklist digest", "now": "judged at"}
ZONE = " UTC"
Facts = Sequence[tuple[str, Markup]]


@dataclass(frozen=True, slots=True)
class Part:
    """The contribution of a segment, or of the mix, to the change of its KPI's total; `share` of
    the largest one, from -1 to 1; `tone` says whether it is for the worse."""

    name: str
    adds: str
    share: float
    tone: str
    effect: str
    verdict: str
    anchor: str


@dataclass(frozen=True)
class Card:
    """One finding on the page, the `rank`-th in importance. Texts are safe to print, but not
    escaped unless they are markup; each is made when it is asked for."""

    finding: Finding
    rank: int
    series: int | None
    whole: _Whole

    @property
    def anchor(self) -> str:
        return f"kpi-{self.rank}"

    @property
    def name(self) -> str:
        return wording.plain(self.finding.kpi, LONGEST_NAME) or "(without a name)"

    @property
    def part(self) -> str:
        return words.part_words(self.finding)

    @property
    def label(self) -> str:
        return words.title(self.finding) or "a KPI without a name"

    @property
    def verdict(self) -> str:
        return words.verdict_words(self.finding)

    @property
    def shape(self) -> str:
        return SHAPES[self.finding.verdict]

    @property
    def tone(self) -> str:
        if self.finding.fails:
            return "bad"
        is_dry = not self.finding.counts and self.finding.verdict is Verdict.REGRESSED
        return "dry" if is_dry else TONES[self.finding.verdict]

    @property
    def size(self) -> str:
        """The size in large type; empty if the series was not judged."""
        if self.finding.verdict in UNJUDGED:
            return ""
        effect, kind = words.effect_words(self.finding), self.finding.kind
        return effect.partition(" [")[0] or ("" if kind is None else words.KIND_WORDS.get(kind, ""))

    @property
    def size_interval(self) -> str:
        if self.finding.verdict in UNJUDGED:
            return ""
        _, opening, interval = words.effect_words(self.finding).partition(" [")
        return f"[{interval}" if opening else ""

    @property
    def line(self) -> Markup:
        return timed(_line(self.finding, self.whole.report.release), self._moments, self._day)

    @property
    def p_value(self) -> str:
        return "" if self.finding.p_value is None else wording.p_value(self.finding.p_value)

    @property
    def group(self) -> str:
        return _group(self.finding)

    @property
    def is_wide(self) -> bool:
        """Whether the card gets the full width: a regression or a failure."""
        return self.finding.fails or self.finding.verdict is Verdict.REGRESSED

    @property
    def answer(self) -> str:
        return explanations.answer(self.finding)

    @cached_property
    def facts(self) -> Facts:
        return [*_facts(self.finding, self.whole.report)]

    @cached_property
    def more(self) -> Facts:
        return [*_more(self.finding, self.whole)]

    @cached_property
    def evidence(self) -> Sequence[tuple[str, str, str]]:
        return [*_evidence(self.finding)]

    @cached_property
    def parts(self) -> Sequence[Part]:
        return _parts(self.finding, self.whole)

    @cached_property
    def stages(self) -> Sequence[tuple[str, Markup, str]]:
        return [*_stages(self.finding)]

    @property
    def queries(self) -> Sequence[str]:
        return [_query(text) for text in (self.finding.query, self.finding.denominator) if text]

    @property
    def link(self) -> str:
        return web_link(self.finding.link)

    @property
    def _day(self) -> date:
        return self.whole.report.release.started_at.date()

    @property
    def _moments(self) -> frozenset[datetime]:
        return self.whole.moments.union(_of_finding(self.finding))


@dataclass(frozen=True, slots=True)
class _Whole:
    """What the cards of a report share: how its series share the false alarms, the moments of the
    release, the ranks of the findings, and those that add to the total of a KPI."""

    report: Report
    sharing: explanations.Sharing
    moments: frozenset[datetime]
    ranks: Mapping[int, int]
    adding: Mapping[str, Sequence[Finding]]


def page(report: Report, *, deliveries: Sequence[Receipt] = (), live: Live | None = None) -> str:
    """The page as HTML; `deliveries` are the results of the messages about the release, `live` is
    what it says of itself where it is served.

    Of more than 100 series, those that matter most have their card in it. A table holds all; the
    script makes their rows and cards as they are looked at, from packed data.
    """
    data = archive.data_of(report)
    if deliveries:
        data["report"]["deliveries"] = [receipt_data(each) for each in deliveries]
    every = _cards(report, [(each["kpi"], each["segment"]) for each in data["series"]])
    ids = {id(each) for each in foremost(report.findings)}
    cards = [card for card in every if id(card.finding) in ids]
    is_large = len(cards) < len(every)
    if is_large:
        data = packed(data, _rows(every, report.findings))
    summary = notice(Message("", report, Action.of(report)))
    moments = _moments(report)
    day = report.release.started_at.date()
    lead, sentence = _split_lead(words.headline(report).partition("  ")[2], every)
    return document(
        "release.html",
        styles=STYLES,
        scripts=SCRIPTS,
        data=data,
        live=live,
        title=f"{report.verdict.upper()}: {release_words(report.release)}",
        word=report.verdict.upper(),
        shape=RELEASE_SHAPES[report.verdict],
        tone=RELEASE_TONES[report.verdict],
        release=release_words(report.release),
        released=wording.stamp(report.release.started_at),
        timezone=report.step.zone if isinstance(report.step, CalendarStep) else "UTC",
        users=_users_zone(report),
        lead=lead,
        sentence=timed(sentence, moments, day),
        todo=summary.todo,
        windows=timed(words.judged_words(report), moments, day),
        context=[
            *words.incident_lines(report),
            *words.context_lines(replace(report, changes=None)),
        ],
        counts=[*_counts(every)],
        cards=cards,
        count=f"{len(every):,}",
        is_large=is_large,
        drawable=f"{sum(card.series is not None for card in every):,}",
        open_sections=[*_open_sections(every)],
        final=report.final,
        earlier=report.earlier is not None,
        groups=[*_groups(every)],
        events=[*_events(report)],
        commits=None if report.changes is None else _commits(report.changes),
        deliveries=[
            replace(each, sink=_plain(each.sink), detail=_plain(each.detail)) for each in deliveries
        ],
        made=[*_made(report)],
        stage_names=[wording.percent(share) for _, share in report.release.stages],
    )


def _users_zone(report: Report) -> str:
    """The time zone of the checklist, which a reader can choose beside UTC and their own; empty if
    it is one of these, or none."""
    zone = report.made.get(TIMEZONE, "")
    if isinstance(report.step, CalendarStep) or zone in ("", "UTC"):
        return ""
    try:
        return Calendar(zone).timezone
    except UsageError:  # of a report from elsewhere
        return ""


def _split_lead(sentence: str, cards: Sequence[Card]) -> tuple[str, str]:
    """The KPI at the start of the sentence with its change, and the rest of the sentence."""
    for card in cards[:1]:
        lead = f"{card.label} {words.change_words(card.finding)}"
        if sentence.startswith(lead):
            return lead, sentence[len(lead) :]
    return "", sentence


def timed(text: str, moments: Iterable[datetime], day: date | None) -> Markup:
    """The text as markup with its `moments` as times, so that the page can show them in the
    reader's zone."""
    tokens = {
        wording.clock(moment, each): (moment, each) for moment in moments for each in (None, day)
    }
    if not tokens:
        return escape(text)
    pattern = re.compile(
        "|".join(
            rf"(?<![\d:-]){re.escape(token)}(?![\d:])"
            for token in sorted(tokens, key=len, reverse=True)
        )
    )
    markup, end = Markup(), 0
    for match in pattern.finditer(text):
        markup += escape(text[end : match.start()]) + time_of(*tokens[match[0]])
        end = match.end()
        if text.startswith(ZONE, end):
            markup += Markup(' <span class="zone">UTC</span>')
            end += len(ZONE)
    return markup + escape(text[end:])


def time_of(moment: datetime, day: date | None) -> Markup:
    """The moment as an element, in UTC until the reader chooses another zone; without its date on
    `day`. The start of a step of the calendar is its date, whatever the reader chooses."""
    if isinstance(moment.tzinfo, CalendarZone):
        return escape(wording.clock(moment, day))
    style = "clock" if day is not None else "full"
    return Markup('<time datetime="{}" data-style="{}">{}</time>').format(
        wording.stamp(moment), style, wording.clock(moment, day)
    )


def _moments(report: Report) -> set[datetime]:
    return {
        *_of_release(report),
        *(moment for finding in report.findings for moment in _of_finding(finding)),
    }


def _of_release(report: Report) -> frozenset[datetime]:
    release = report.release
    ends = [report.observation.start, report.observation.end, release.started_at, release.finished]
    ends += [] if report.seen is None else [report.seen.start, report.seen.end]
    following = [] if release.followed_by is None else [release.followed_by.started_at]
    return frozenset((*ends, *following))


def _of_finding(finding: Finding) -> Iterator[datetime]:
    if finding.onset is not None:
        yield finding.onset
    yield from finding.onset_interval or ()
    if finding.flagged is not None:
        yield from (finding.flagged.first, finding.flagged.worst)
    for each in finding.exposure.plateaus if finding.exposure is not None else ():
        yield from (each.window.start, each.window.end)


def _cards(report: Report, series: Sequence[tuple[str, str]]) -> list[Card]:
    """A card for each finding, the most important first."""
    from anomaly.panel import segment_text

    positions = {key: place for place, key in enumerate(series)}
    findings = words.ordered(report.findings)
    adding: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.contribution is not None:
            adding.setdefault(finding.kpi, []).append(finding)
    whole = _Whole(
        report,
        explanations.Sharing.of(report),
        _of_release(report),
        {id(finding): rank for rank, finding in enumerate(findings, 1)},
        adding,
    )
    return [
        Card(
            finding,
            rank,
            positions.get((finding.kpi, segment_text(finding.segment))),
            whole,
        )
        for rank, finding in enumerate(findings, 1)
    ]


def _rows(cards: Sequence[Card], findings: Sequence[Finding]) -> dict[str, list[Any]]:
    """What the script needs to make a row or a card, as columns, the most important first.

    `finding` is the place in the report, `series` that of the points (None without any), `kind`
    that in `kinds`: group, tone, shape and word. `line` is markup, all else text.
    """
    places = {id(finding): place for place, finding in enumerate(findings)}
    kinds = [(card.group, card.tone, card.shape, card.verdict) for card in cards]
    numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
    return {
        "kinds": [*numbers],
        "kind": [numbers[kind] for kind in kinds],
        "finding": [places[id(card.finding)] for card in cards],
        "series": [card.series for card in cards],
        "name": [card.name for card in cards],
        "part": [card.part for card in cards],
        "size": [card.size for card in cards],
        "interval": [card.size_interval for card in cards],
        "p": [card.p_value for card in cards],
        "line": [card.line for card in cards],
    }


def _line(finding: Finding, release: Release) -> str:
    """The line under the size: the reason if the series was not judged, else onset, observed vs
    expected, and the smallest detectable change."""
    if finding.verdict in UNJUDGED or finding.verdict is Verdict.RECOVERED:
        return words.reason_words(finding)
    onset = words.onset_words(finding, release)
    parts = (
        "" if finding.kind is None else words.KIND_WORDS.get(finding.kind, ""),
        f"since {onset}" if onset else "",
        words.versus_words(finding),
        words.smallest_detectable(finding) if finding.verdict is Verdict.OK else "",
    )
    return "; ".join(part for part in parts if part)


def _group(finding: Finding) -> str:
    if finding.fails:
        return "fails"
    if finding.verdict in UNJUDGED:
        return OPEN[finding.verdict]
    return "ok" if finding.verdict is Verdict.OK else "moved"


def _open_sections(cards: Sequence[Card]) -> Iterator[tuple[str, Sequence[Card]]]:
    """What is open, under what it is."""
    for verdict, name in OPEN.items():
        if own := [card for card in cards if card.finding.verdict is verdict]:
            yield name, own


def _groups(cards: Sequence[Card]) -> Iterator[tuple[str, int]]:
    """The filters, with how many cards each leaves."""
    yield "all", len(cards)
    counts = Counter(card.group for card in cards)
    for name in ("fails", "moved", *OPEN.values(), "ok"):
        if counts[name]:
            yield name, counts[name]


def _counts(cards: Sequence[Card]) -> Iterator[tuple[str, str, str, int]]:
    """The number of findings with each verdict, the worst first: tone, shape, word and number."""
    counts = Counter(card.finding.verdict for card in cards)
    for verdict in WORST_FIRST:
        if counts[verdict]:
            yield TONES[verdict], SHAPES[verdict], verdict.replace("_", " "), counts[verdict]


def _facts(finding: Finding, report: Report) -> Iterator[tuple[str, Markup]]:
    """The deciding facts, beside the chart."""
    day = report.release.started_at.date()
    if finding.verdict in UNJUDGED:
        yield "why", timed(_plain(finding.reason), _of_finding(finding), day)
        return
    if finding.p_value is not None:
        yield (
            "p-value",
            escape(wording.p_value(finding.p_value))
            + (f": {wording.rarity(finding.p_value)} harmless releases" if finding.fails else ""),
        )
    if began := explanations.since(finding, report):
        yield "since", timed(began, _of_finding(finding), day)
    if versus := words.versus_words(finding):
        yield "observed", escape(versus)
    if finding.flagged is not None and finding.flagged.count:
        flagged = finding.flagged
        count = f"{flagged.count} of {finding.steps} steps outside the usual range, worst "
        sigma = f" ({flagged.worst_z:+.1f} sigma)"
        yield "flagged", escape(count) + time_of(flagged.worst, day) + sigma
    if not finding.control_for:
        yield "bad move", escape(explanations.bad_move(finding))
    size = words.detectable_words(finding)
    if size and finding.verdict is Verdict.OK:
        yield "detectable", escape(f"a change of {size} or more (80 % power)")


def _more(finding: Finding, whole: _Whole) -> Iterator[tuple[str, Markup]]:
    """All other facts."""
    report = whole.report
    day = report.release.started_at.date()

    def plain(text: str) -> Markup:
        return timed(_plain(text), _of_finding(finding), day)

    if finding.verdict not in UNJUDGED:
        yield "reason", plain(finding.reason)
    yield "what to do", plain(explanations.advice(finding, report))
    if rare := explanations.rarity(finding):
        yield "how rare", plain(rare)
    if hurdle := explanations.hurdle(finding, whole.sharing):
        yield "required", plain(hurdle)
    if detectable := explanations.detectable(finding):
        yield "detectable", plain(detectable)
    if finding.effect is not None and finding.effect_absolute is not None:
        yield (
            "in its unit",
            plain(
                wording.absolute(
                    finding.effect_absolute, finding.effect_absolute_interval, finding.unit
                )
            ),
        )
    yield (
        "steps",
        plain(f"{finding.steps} of {finding.steps_planned}, {duration_text(report.step)} each"),
    )
    if finding.volume is not None:
        yield "volume", plain(wording.number(finding.volume))
    yield (
        "weight",
        plain(wording.number(finding.weight) + (", critical" if finding.critical else "")),
    )
    if finding.control_for:
        yield "control for", plain(", ".join(finding.control_for))
    if finding.severity is KpiSeverity.SIGNAL:
        yield "severity", plain("signal: its verdict holds the release, and does not fail it")
    if finding.dry_run:
        yield "dry run", plain("its verdict does not fail the release")
    for note in finding.notes:
        yield "note", plain(note)


def _evidence(finding: Finding) -> Iterator[tuple[str, str, str]]:
    for line in lines(finding.evidence):
        text = line.value if isinstance(line.value, str) else wording.number(line.value)
        yield (
            wording.plain(line.name, LONGEST_NAME),
            wording.plain(text, LONGEST_TEXT),
            line.meaning,
        )


def _parts(total: Finding, whole: _Whole) -> Sequence[Part]:
    """The parts of the change of a total, the largest first."""
    segments = whole.adding.get(total.kpi, ())
    if not total.total or not segments:
        return ()
    sizes = [(each.contribution or 0.0, each) for each in segments]
    largest = max([abs(size) for size, _ in sizes] + [abs(total.mix_effect or 0.0)]) or 1.0

    def part(size: float, each: Finding | None) -> Part:
        return Part(
            name="mix of segments" if each is None else words.segment_words(each.segment),
            adds=wording.absolute(size, None, total.unit),
            share=size / largest,
            tone=_tone(size, total.direction),
            effect="" if each is None else words.effect_words(each),
            verdict="" if each is None else words.verdict_words(each),
            anchor="" if each is None else f"kpi-{whole.ranks[id(each)]}",
        )

    ranked = sorted(sizes, key=lambda item: -abs(item[0]))
    parts = [part(size, each) for size, each in ranked[:MOST_PARTS]]
    if len(ranked) > MOST_PARTS:
        rest = sum(size for size, _ in ranked[MOST_PARTS:])
        parts.append(replace(part(rest, None), name=f"{len(ranked) - MOST_PARTS:,} others"))
    return parts if total.mix_effect is None else [*parts, part(total.mix_effect, None)]


def _tone(size: float, bad: Direction) -> str:
    """Whether a change is for the worse (`bad`) or the better (`good`)."""
    if bad is Direction.EITHER or not size:
        return "neutral"
    return "bad" if (size > 0) is (bad is Direction.UP) else "good"


def _stages(finding: Finding) -> Iterator[tuple[str, Markup, str]]:
    for each in finding.exposure.plateaus if finding.exposure is not None else ():
        has_effect = each.effect is not None or each.effect_absolute is not None
        yield (
            wording.percent(each.share),
            _span(each.window),
            wording.plateau(each, finding.unit) if has_effect else "unknown",
        )


def _events(report: Report) -> Iterator[tuple[str, str, Markup, Markup]]:
    """Other events that may explain a change or that were left out: the kind as a word and as a
    class, the time, the name."""
    release = report.release
    for at, share in release.stages:
        yield (
            "stage",
            "stage",
            time_of(at, None),
            escape(f"reached {wording.percent(share)} of users"),
        )
    for each in report.confounders:
        yield "also released", "confounder", time_of(each.started_at, None), escape(_name_of(each))
    if release.followed_by is not None:
        yield (
            "next release",
            "confounder",
            time_of(release.followed_by.started_at, None),
            escape(_name_of(release.followed_by)),
        )
    for span in report.left_out:
        yield (
            "left out",
            "left-out",
            _span(span.window),
            escape(wording.plain(span.reason, LONGEST_NAME)),
        )


def _commits(changes: Changes) -> dict[str, Any]:
    """The commits since the version before, safe to show."""
    return {
        "line": words.changes_line(changes),
        "link": web_link(changes.link),
        "more": words.more_commits(changes),
        "rows": [
            Commit(_plain(each.id), _plain(each.author), _plain(each.title), web_link(each.link))
            for each in changes.commits
        ],
    }


def _name_of(release: Release) -> str:
    return (
        " ".join(
            wording.plain(part, LONGEST_NAME) for part in (release.service, release.version) if part
        )
        or "a release"
    )


def _span(window: Window) -> Markup:
    return time_of(window.start, None) + " to " + time_of(window.end, None)


def _made(report: Report) -> Iterator[tuple[str, Markup]]:
    yield (
        "released",
        time_of(report.release.started_at, None) + " to " + time_of(report.release.finished, None),
    )
    seen, history = report.seen, report.history
    goes_on = "" if report.final else Markup(", the watch ends at ")
    yield (
        "observed",
        (escape("no data") if seen is None else _span(seen))
        + goes_on
        + ("" if report.final else time_of(report.observation.end, None)),
    )
    length = duration_text(report.baseline.length)
    yield "baseline", _span(report.baseline) + f" ({length})"
    if history is None or history.start > report.baseline.start:
        yield "data since", escape("no data") if history is None else time_of(history.start, None)
    yield "step", escape(duration_text(report.step))
    yield (
        "false alarms",
        escape(f"at most {wording.percent(report.false_alarms)} of harmless releases"),
    )
    for name, value in report.made.items():
        yield SETTINGS.get(name, wording.plain(str(name), LONGEST_NAME)), escape(_plain(str(value)))
    yield "randomness", escape("none: the same data give the same report")


def _plain(text: str) -> str:
    return wording.plain(text, LONGEST_TEXT)


def _query(text: str) -> str:
    return "\n".join(wording.plain(line, LONGEST_TEXT) for line in text[:LONGEST_TEXT].splitlines())


def web_link(url: str) -> str:
    """The URL if it is http or https, else empty: any other scheme could run code."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return (
        url
        if parts.scheme in ("http", "https")
        and parts.netloc
        and url.isprintable()
        and url.isascii()
        else ""
    )
