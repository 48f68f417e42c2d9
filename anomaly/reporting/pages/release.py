"""The page of a release: the verdict, the KPIs that matter most first, and everything that led
there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from anomaly import wording
from anomaly.model import (
    UNJUDGED,
    WORST_FIRST,
    Finding,
    Release,
    ReleaseVerdict,
    Verdict,
    Window,
)
from anomaly.reporting import archive
from anomaly.reporting import explanations as meaning
from anomaly.reporting import words as say
from anomaly.reporting.data import receipt_data
from anomaly.reporting.message import Action, Message, Receipt
from anomaly.reporting.notice import notice, release_words
from anomaly.reporting.pages.document import document
from anomaly.reporting.report import Report
from anomaly.timing.durations import duration_text

LONGEST_NAME, LONGEST_TEXT = 120, 4000  # characters of foreign text
STYLES = ("uplot/uPlot.min.css", "page.css", "release.css")
SCRIPTS = ("uplot/uPlot.iife.min.js", "page.js", "release.js")
SHAPES = {  # told apart without colour
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
RELEASE_SHAPES = {
    ReleaseVerdict.FAIL: "✗",
    ReleaseVerdict.PASS: "✓",
    ReleaseVerdict.INCONCLUSIVE: "?",
    ReleaseVerdict.ERROR: "!",
}
RELEASE_TONES = {
    ReleaseVerdict.FAIL: "bad",
    ReleaseVerdict.PASS: "good",
    ReleaseVerdict.INCONCLUSIVE: "open",
    ReleaseVerdict.ERROR: "open",
}
SETTINGS = {"anomaly": "version", "checklist": "digest of the checklist", "now": "judged at"}
ZONE = " UTC"
Facts = Sequence[tuple[str, Markup]]


@dataclass(frozen=True, slots=True)
class Part:
    """What a segment, or the mix of segments, adds to the change of its KPI's total; `share` of the
    largest, from -1 to 1."""

    name: str
    adds: str
    share: float
    effect: str
    verdict: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Card:
    """What is shown of one finding; texts are harmless, but not escaped unless they are markup."""

    anchor: str
    finding: Finding
    name: str
    part: str
    label: str
    verdict: str
    shape: str
    tone: str
    size: str
    size_interval: str
    line: Markup
    answer: str
    facts: Facts
    more: Facts
    evidence: Sequence[tuple[str, str, str]]
    parts: Sequence[Part]
    stages: Sequence[tuple[str, Markup, str]]
    queries: Sequence[str]
    link: str
    series: int | None
    group: str

    @property
    def is_wide(self) -> bool:
        """Whether it gets the whole width: what moved the bad way."""
        return self.finding.fails or self.finding.verdict is Verdict.REGRESSED


def page(report: Report, *, deliveries: Sequence[Receipt] = ()) -> str:
    """The page as HTML; `deliveries` say what became of the messages about the release."""
    data = archive.data_of(report)
    if deliveries:
        data["report"]["deliveries"] = [receipt_data(each) for each in deliveries]
    cards = [*_cards(report, [(each["kpi"], each["segment"]) for each in data["series"]])]
    said = notice(Message("", report, Action.of(report)))
    moments = _moments(report)
    day = report.release.started_at.date()
    lead, sentence = _led(say.headline(report).partition("  ")[2], cards)
    return document(
        "release.html",
        styles=STYLES,
        scripts=SCRIPTS,
        data=data,
        title=f"{report.verdict.upper()}: {release_words(report.release)}",
        word=report.verdict.upper(),
        shape=RELEASE_SHAPES[report.verdict],
        tone=RELEASE_TONES[report.verdict],
        release=release_words(report.release),
        released=wording.stamp(report.release.started_at),
        lead=lead,
        sentence=timed(sentence, moments, day),
        todo=said.todo,
        asked=timed(say.judged_words(report), moments, day),
        context=say.context_lines(report),
        counts=[*_counts(cards)],
        cards=cards,
        open_cards=[card for card in cards if card.finding.verdict in UNJUDGED],
        groups=[*_groups(cards)],
        events=[*_events(report)],
        deliveries=[
            replace(each, sink=_plain(each.sink), detail=_plain(each.detail)) for each in deliveries
        ],
        made=[*_made(report)],
        stage_names=[wording.percent(share) for _, share in report.release.stages],
    )


def _led(sentence: str, cards: Sequence[Card]) -> tuple[str, str]:
    """The KPI that the sentence begins with and how it moved, and the rest of the sentence."""
    for card in cards[:1]:
        lead = f"{card.label} {say.change_words(card.finding)}"
        if sentence.startswith(lead):
            return lead, sentence[len(lead) :].lstrip()
    return "", sentence


def timed(text: str, moments: Iterable[datetime], day: date | None) -> Markup:
    """The text as markup in which the `moments` that it names are times, so that the reader's zone
    can be shown."""
    known = {
        wording.clock(moment, each): (moment, each) for moment in moments for each in (None, day)
    }
    if not known:
        return escape(text)
    found = re.compile(
        "|".join(
            rf"(?<![\d:-]){re.escape(token)}(?![\d:])"
            for token in sorted(known, key=len, reverse=True)
        )
    )
    out, end = Markup(), 0
    for match in found.finditer(text):
        out += escape(text[end : match.start()]) + time_of(*known[match[0]])
        end = match.end()
        if text.startswith(ZONE, end):
            out += Markup(' <span class="zone">UTC</span>')
            end += len(ZONE)
    return out + escape(text[end:])


def time_of(moment: datetime, day: date | None) -> Markup:
    """The moment as an element, in UTC until the page shows another zone; its date is left out on
    `day`."""
    style = "clock" if day is not None else "full"
    return Markup('<time datetime="{}" data-style="{}">{}</time>').format(
        wording.stamp(moment), style, wording.clock(moment, day)
    )


def _moments(report: Report) -> set[datetime]:
    release = report.release
    ends = [report.observation.start, report.observation.end, release.started_at, release.finished]
    following = [] if release.followed_by is None else [release.followed_by.started_at]
    return {
        *ends,
        *following,
        *(moment for finding in report.findings for moment in _of_finding(finding)),
    }


def _of_finding(finding: Finding) -> Iterator[datetime]:
    if finding.onset is not None:
        yield finding.onset
    yield from finding.onset_interval or ()
    if finding.flagged is not None:
        yield from (finding.flagged.first, finding.flagged.worst)
    for each in finding.exposure.plateaus if finding.exposure is not None else ():
        yield from (each.window.start, each.window.end)


def _cards(report: Report, series: Sequence[tuple[str, str]]) -> Iterator[Card]:
    from anomaly.panel import segment_text

    places = {key: place for place, key in enumerate(series)}
    found = say.ordered(report.findings)
    anchors = {id(finding): f"kpi-{number}" for number, finding in enumerate(found, 1)}
    day, moments = report.release.started_at.date(), _moments(report)
    for finding in found:
        effect, _, interval = say.effect_words(finding).partition(" [")
        yield Card(
            anchor=anchors[id(finding)],
            finding=finding,
            name=wording.plain(finding.kpi, LONGEST_NAME) or "(without a name)",
            part=say.part_words(finding),
            label=say.title(finding) or "a KPI without a name",
            verdict=say.verdict_words(finding),
            shape=SHAPES[finding.verdict],
            tone="bad"
            if finding.fails
            else "dry"
            if not finding.counts and finding.verdict is Verdict.REGRESSED
            else TONES[finding.verdict],
            size=_size(finding, effect),
            size_interval=f"[{interval}" if interval and finding.verdict not in UNJUDGED else "",
            line=timed(_line(finding, report.release), moments, day),
            answer=meaning.answer(finding),
            facts=[*_facts(finding, report)],
            more=[*_more(finding, report)],
            evidence=[*_evidence(finding)],
            parts=_parts(finding, report, anchors),
            stages=[*_stages(finding)],
            queries=[_query(text) for text in (finding.query, finding.denominator) if text],
            link=web_link(finding.link),
            series=places.get((finding.kpi, segment_text(finding.segment))),
            group=_group(finding),
        )


def _size(finding: Finding, effect: str) -> str:
    """The size that stands large on a card: of what was judged alone."""
    if finding.verdict in UNJUDGED:
        return ""
    kind = "" if finding.kind is None else say.KIND_WORDS.get(finding.kind, "")
    return effect or kind


def _line(finding: Finding, release: Release) -> str:
    """What is to be known at once: the reason if it is not judged, else observed against expected
    and what would have been seen."""
    if finding.verdict in UNJUDGED or finding.verdict is Verdict.RECOVERED:
        return say.reason_words(finding)
    versus = say.versus_words(finding)
    seen = say.detectable_words(finding) if finding.verdict is Verdict.OK else ""
    kind = "" if finding.kind is None else say.KIND_WORDS.get(finding.kind, "")
    onset = say.onset_words(finding, release)
    since = f"since {onset}" if onset else ""
    return "; ".join(
        part for part in (kind, versus, since, f"would have seen {seen}" if seen else "") if part
    )


def _group(finding: Finding) -> str:
    if finding.fails:
        return "fails"
    if finding.verdict in UNJUDGED:
        return "not judged"
    return "ok" if finding.verdict is Verdict.OK else "moved"


def _groups(cards: Sequence[Card]) -> Iterator[tuple[str, int]]:
    """The filters, with how many cards each leaves."""
    yield "all", len(cards)
    for name in ("fails", "moved", "not judged", "ok"):
        if count := sum(card.group == name for card in cards):
            yield name, count


def _counts(cards: Sequence[Card]) -> Iterator[tuple[str, str, str, int]]:
    """How many findings have each verdict, the worst first: its tone, shape, word and number."""
    for verdict in WORST_FIRST:
        if count := sum(card.finding.verdict is verdict for card in cards):
            yield TONES[verdict], SHAPES[verdict], verdict.replace("_", " "), count


def _facts(finding: Finding, report: Report) -> Iterator[tuple[str, Markup]]:
    """What decides, beside the chart."""
    day = report.release.started_at.date()
    if finding.verdict in UNJUDGED:
        yield "why", timed(_plain(finding.reason), _of_finding(finding), day)
        return
    if versus := say.versus_words(finding):
        yield "observed", escape(versus)
    if began := meaning.since(finding, report):
        yield "since", timed(began, _of_finding(finding), day)
    if finding.p_value is not None:
        yield (
            "p-value",
            escape(wording.p_value(finding.p_value))
            + (f": {wording.rarity(finding.p_value)} harmless releases" if finding.fails else ""),
        )
    if finding.flagged is not None and finding.flagged.count:
        seen = finding.flagged
        words = f"{seen.count} of {finding.steps} steps outside the usual range, worst "
        yield "flagged", escape(words) + time_of(seen.worst, day) + f" ({seen.worst_z:+.1f} sigma)"
    if not finding.control_for:
        yield "matters if", escape(meaning.matters(finding))
    seen_words = say.detectable_words(finding)
    if seen_words and finding.verdict is Verdict.OK:
        yield "would see", escape(f"a change of {seen_words}, in four of five releases")


def _more(finding: Finding, report: Report) -> Iterator[tuple[str, Markup]]:
    """The rest of what is known, for those who dig."""
    day = report.release.started_at.date()

    def words(text: str) -> Markup:
        return timed(_plain(text), _of_finding(finding), day)

    if finding.verdict not in UNJUDGED:
        yield "reason", words(finding.reason)
    yield "what to do", words(meaning.advice(finding, report))
    if rare := meaning.rarity(finding):
        yield "how rare", words(rare)
    if hurdle := meaning.hurdle(finding, report):
        yield "must be", words(hurdle)
    if seen := meaning.seen(finding):
        yield "could be unseen", words(seen)
    if finding.effect is not None and finding.effect_absolute is not None:
        yield (
            "in its unit",
            words(
                wording.absolute(
                    finding.effect_absolute, finding.effect_absolute_interval, finding.unit
                )
            ),
        )
    yield (
        "steps",
        words(f"{finding.steps} of {finding.steps_planned}, of {duration_text(report.step)} each"),
    )
    if finding.volume is not None:
        yield "volume", words(wording.number(finding.volume))
    yield (
        "weight",
        words(wording.number(finding.weight) + (", critical" if finding.critical else "")),
    )
    if finding.control_for:
        yield "control for", words(", ".join(finding.control_for))
    if finding.dry_run:
        yield "dry run", words("its verdict fails no release")
    for note in finding.notes:
        yield "note", words(note)


def _evidence(finding: Finding) -> Iterator[tuple[str, str, str]]:
    for name, value in finding.evidence.items():
        text = value if isinstance(value, str) else wording.number(value)
        yield (
            wording.plain(name, LONGEST_NAME),
            wording.plain(text, LONGEST_TEXT),
            meaning.meaning(name, value),
        )


def _parts(whole: Finding, report: Report, anchors: Mapping[int, str]) -> Sequence[Part]:
    """What the change of a total is made of, the largest part first."""
    segments = [
        each for each in report.findings if each.kpi == whole.kpi and each.contribution is not None
    ]
    if not whole.total or not segments:
        return ()
    sizes = [(each.contribution or 0.0, each) for each in segments]
    largest = max([abs(size) for size, _ in sizes] + [abs(whole.mix_effect or 0.0)]) or 1.0

    def part(size: float, each: Finding | None) -> Part:
        return Part(
            name="mix of segments" if each is None else say.segment_words(each.segment),
            adds=wording.absolute(size, None, whole.unit),
            share=size / largest,
            effect="" if each is None else say.effect_words(each),
            verdict="" if each is None else say.verdict_words(each),
            anchor="" if each is None else anchors[id(each)],
        )

    ranked = [part(size, each) for size, each in sorted(sizes, key=lambda known: -abs(known[0]))]
    return ranked if whole.mix_effect is None else [*ranked, part(whole.mix_effect, None)]


def _stages(finding: Finding) -> Iterator[tuple[str, Markup, str]]:
    for each in finding.exposure.plateaus if finding.exposure is not None else ():
        known = each.effect is not None or each.effect_absolute is not None
        yield (
            wording.percent(each.share),
            _span(each.window),
            wording.plateau(each, finding.unit) if known else "unknown",
        )


def _events(report: Report) -> Iterator[tuple[str, str, Markup, Markup]]:
    """What else may be behind a change, or was left out: its kind as a word and as a class, when,
    and what."""
    release = report.release
    for at, share in release.stages:
        yield (
            "stage",
            "stage",
            time_of(at, None),
            escape(f"{wording.percent(share)} of users have it"),
        )
    for each in report.confounders:
        yield "also released", "confounder", time_of(each.started_at, None), escape(_named(each))
    if release.followed_by is not None:
        yield (
            "next release",
            "confounder",
            time_of(release.followed_by.started_at, None),
            escape(_named(release.followed_by)),
        )
    for span in report.left_out:
        yield (
            "left out",
            "left-out",
            _span(span.window),
            escape(wording.plain(span.reason, LONGEST_NAME)),
        )


def _named(release: Release) -> str:
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
    yield "observed", _span(report.observation) + ("" if report.final else ", not over yet")
    yield "baseline", _span(report.baseline) + f" ({duration_text(report.baseline.length)})"
    yield "step", escape(duration_text(report.step))
    yield (
        "false alarms",
        escape(f"at most {wording.percent(report.false_alarms)} of harmless releases"),
    )
    for name, value in report.made.items():
        yield SETTINGS.get(name, wording.plain(str(name), LONGEST_NAME)), escape(_plain(str(value)))
    yield "chance", escape("none: the same data give the same report")


def _plain(text: str) -> str:
    return wording.plain(text, LONGEST_TEXT)


def _query(text: str) -> str:
    return "\n".join(wording.plain(line, LONGEST_TEXT) for line in text[:LONGEST_TEXT].splitlines())


def web_link(url: str) -> str:
    """The URL if it leads into the web, else nothing: what is no http may run."""
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
