"""What has to be known of a PromQL query without evaluating it: its placeholder, its selectors,
their ranges.

This is no parser: it finds the selectors among the tokens, and says so when a query is beyond it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from anomaly.errors import UsageError
from anomaly.timing.durations import duration_text, parse_duration

PLACEHOLDER = re.compile(r"\$(?:step\b|\{step\})")
STRING = r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`"""
TOKEN = re.compile(
    rf"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>{STRING})
    |(?P<matchers>\{{(?:[^"'`}}]|{STRING})*\}})
    |(?P<range>\[[^\]]*\])
    |(?P<number>[0-9][0-9A-Za-z_.]*)
    |(?P<name>[A-Za-z_:][A-Za-z0-9_:.]*)
    |(?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
OFFSET = re.compile(r"offset\s+(\w+)", re.IGNORECASE)
LABEL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VARIABLE = re.compile(  # of a dashboard, but $step
    r"\$(?:__\w+|\{[A-Za-z_]\w*(?::\w+)?\}|[A-Za-z_]\w*)|\[\[\w+\]\]"
)
BEFORE_LABELS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
JOINING = frozenset(
    {"and", "or", "unless", "default", "if", "ifnot"}
)  # a value may come from either side
NO_METRIC = frozenset({"bool", "inf", "nan", "atan2", "offset", "keep_metric_names", "limit"})
BORN = frozenset({"increase", "rate"})  # what counts no first sample
NOT_FILLED_IN = (
    "a variable of Grafana, which only Grafana fills in; write $step for an interval, and labels "
    "as they are"
)
DELAYED = (
    "reads values of {} earlier (offset), so a release shows only that much later; leave offset out"
)
LOOK_BACK = timedelta(minutes=5)  # how long Prometheus repeats the last sample
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
SUMS = frozenset({"sum", "count"})
CHANGES = frozenset({"increase", "rate", "irate", "delta", "idelta", "deriv", "changes", "resets"})
NO_VALUES = frozenset({"count", "group", "absent", "timestamp"})  # what takes no value as it is
OPERATORS = frozenset({"/", "*", "+", "-", "%", "^", "=", "!", "<", ">"})
COMPARING = frozenset({"<", ">", "=", "!"})
COUNTER = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*_(total|bucket)")
# what looks at all moments that are asked for, or at none in particular: of MetricsQL, mostly
OF_A_RANGE = ("range_", "running_", "topk_", "bottomk_", "outliers", "rand", "sort")
OF_A_RANGE_TOO = frozenset(
    {
        *("keep_last_value", "keep_next_value", "interpolate", "remove_resets", "now"),
        *("smooth_exponential", "limitk", "limit_ratio", "limit_offset", "drop_empty_series"),
        *("start", "end", "ru", "ttf", "buckets_limit", "with"),
    }
)
HIDING = frozenset(
    {"absent", "absent_over_time", "with"}
)  # absence makes a value; `with` is MetricsQL's template


@dataclass(frozen=True, slots=True)
class Selector:
    """`text` with its matchers, `reach` as written between brackets (None: instant), `shift` the
    offset and @ behind it."""

    text: str
    reach: str | None = None
    shift: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """The selectors of a query and the lengths of its subqueries; `joined`: a value need not come
    from all selectors."""

    selectors: tuple[Selector, ...]
    subqueries: tuple[str, ...]
    joined: bool


def resolve(query: str, step: timedelta) -> str:
    """`query` with the step (`5m`) in place of `$step`."""
    return PLACEHOLDER.sub(duration_text(step), query)


def variables(query: str) -> tuple[str, ...]:
    """The variables of a dashboard in a query, which nobody fills in here."""
    if "label_replace" in query:  # has groups that look alike
        return ()
    return tuple(dict.fromkeys(VARIABLE.findall(PLACEHOLDER.sub("", query))))


def delay(query: str, step: timedelta) -> timedelta | None:
    """How far back all that a query reads lies, if that is longer than a step: the least offset of
    its selectors."""
    offsets = [OFFSET.search(selector.shift) for selector in read(query).selectors]
    lengths = [None if match is None else _length(match[1]) for match in offsets]
    offset_lengths = [length for length in lengths if length is not None]
    return (
        min(offset_lengths)
        if offset_lengths and len(offset_lengths) == len(lengths) and min(offset_lengths) > step
        else None
    )


def read(query: str) -> Reading:
    """The selectors of `query`, in order, each once, and what is around them."""
    tokens = _tokens(query)
    selectors: list[Selector] = []
    joined, at = False, 0
    while at < len(tokens):
        word, following = tokens[at][0].lower(), _text(tokens, at + 1)
        kind = tokens[at].lastgroup
        if kind == "matchers" or (kind == "name" and not _is_word(word, following)):
            selector, at = _selector(query, tokens, at)
            selectors.append(selector)
            continue
        joined = joined or (kind == "name" and word in JOINING | HIDING)
        at = (
            _after_labels(tokens, at + 1)
            if kind == "name" and word in BEFORE_LABELS and following == "("
            else at + 1
        )
    lengths = [
        match[0][1:-1].partition(":")[0].strip()
        for match in tokens
        if match.lastgroup == "range" and ":" in match[0]
    ]
    return Reading(tuple(dict.fromkeys(selectors)), tuple(lengths), joined)


def repeating(reading: Reading, step: timedelta) -> tuple[Selector, ...]:
    """The selectors whose samples can fill more than one step, so that a value does not prove a
    sample of its own."""
    if any(_longer(length, step) for length in reading.subqueries):
        return reading.selectors
    return tuple(
        selector
        for selector in reading.selectors
        if selector.reach is None or _longer(selector.reach, step)
    )


def other_ranges(reading: Reading, step: timedelta) -> tuple[str, ...]:
    """The ranges (`15m`) that are not the step; those inside a subquery serve it and do not
    count."""
    ranges = reading.subqueries or [
        selector.reach for selector in reading.selectors if selector.reach is not None
    ]
    return tuple(dict.fromkeys(reach for reach in ranges if _length(reach) != step))


def presence(selector: Selector, by: Sequence[str], step: timedelta) -> str:
    """The query whose value exists exactly where `selector` has a sample inside the step that ends
    there.

    A range includes its far end up to Prometheus 2, hence the millisecond less.
    """
    inside = f"{step // timedelta(milliseconds=1) - 1}ms"
    count = f"count_over_time({selector.text}[{inside}]{selector.shift})"
    return f"count {grouping(by)} ({count})" if by else f"count({count})"


def since_birth(query: str, step: timedelta) -> str | None:
    """The query, in which the first sample of a new series counts in full: None if it takes no
    `increase` or `rate` over the step.

    A counter is born with its first event, so `increase` sees no change in it. A series is new
    where it has no sample before the step, nor an hour or a day earlier: one that was not scraped
    for a while is none.
    """
    tokens = _tokens(query)
    length = duration_text(step)
    before = dict.fromkeys(duration_text(each) for each in (step, 2 * step, HOUR, DAY))
    out, copied = "", 0
    for at, token in enumerate(tokens):
        if token[0] not in BORN or _text(tokens, at + 1) != "(":
            continue
        if _kind(tokens, at + 2) not in {"name", "matchers"}:
            return None
        selector, end = _selector(query, tokens, at + 2)
        if _text(tokens, end) != ")" or selector.shift or _length(selector.reach or "") != step:
            return None
        name, whole = selector.text, f"{token[0]}({selector.text}[{selector.reach}])"
        earlier = " or ".join(f"{name} offset {each}" for each in before)
        first = f"(max_over_time({name}[{length}]) unless ({earlier}))"
        if token[0] == "rate":
            first += f" / {step // SECOND}"
        out += f"{query[copied : token.start()]}({first} or {whole})"
        copied = tokens[end].end()
    return out + query[copied:] if copied else None


def knows_its_range(query: str) -> bool:
    """Whether the value at a moment may depend on which other moments are asked for."""
    tokens = _tokens(query)
    for at, token in enumerate(tokens):
        word = token[0].lower()
        if word == "@" and _text(tokens, at + 1).lower() in {"start", "end"}:
            return True
        if token.lastgroup == "name" and (
            word.startswith(OF_A_RANGE) or (word in OF_A_RANGE_TOO and _text(tokens, at + 1) == "(")
        ):
            return True
    return any(token[0].lower() == "limit" for token in tokens)


def is_sum(query: str) -> bool:
    """Whether the values of a query are sums or counts, so that their sum means the same."""
    tokens = _tokens(query)
    if not tokens or tokens[0][0].lower() not in {*SUMS, *CHANGES}:
        return False
    at = 1
    if _text(tokens, at).lower() in {"by", "without"}:
        at = _after_labels(tokens, at + 1)
    end = _closing(tokens, at)
    if _text(tokens, end + 1).lower() in {"by", "without"}:
        end = _after_labels(tokens, end + 2) - 1
    return end == len(tokens) - 1


def is_rate(query: str) -> bool:
    """Whether the values of a query are per second."""
    words = {token[0] for token in _tokens(query)}
    return "rate" in words and "increase" not in words


def division(query: str) -> tuple[str, str] | None:
    """The two sides of a query that divides one thing by another, and does nothing else after
    that."""
    tokens = _tokens(query)
    depth, places = 0, []
    for place, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0 and (token[0] in OPERATORS or token[0].lower() in JOINING):
            places.append(place)
    if len(places) != 1 or tokens[places[0]][0] != "/" or places[0] in {0, len(tokens) - 1}:
        return None
    if _text(tokens, places[0] + 1).lower() in BEFORE_LABELS | {"bool"}:
        return None
    slash = tokens[places[0]]
    above, below = query[: slash.start()].strip(), query[slash.end() :].strip()
    return None if re.fullmatch(r"[\d.e+-]+", below) else (above, below)


def counts(query: str) -> bool:
    """Whether a query takes the change of a counter, or something else that does not grow."""
    return any(token[0].lower() in CHANGES for token in _tokens(query))


def why_nothing(query: str, reading: Reading, step: timedelta) -> str:
    """Why a query has no value, though each of its selectors has samples."""
    words = {token[0] for token in _tokens(query)}
    first = reading.selectors[0]
    if "histogram_quantile" in words and "le" not in words:
        return f"histogram_quantile needs the label le of {first.text}; write sum by (le) (…)"
    if words & COMPARING and "bool" not in words:
        return f"{first.text} has samples, but the comparison drops every value"
    if counts(query) and first.reach is not None:
        return (
            f"{first.text} has samples, but never two within [{first.reach}], as rates need; set "
            "windows.step to at least twice the time between two samples"
        )
    if first.reach is None and not reading.subqueries and step > LOOK_BACK:
        return (
            f"{first.text} has samples, but none in the five minutes before the steps end; write "
            f"last_over_time({first.text}[$step])"
        )
    return f"{first.text} has samples, but the query makes no value of them"


def raw_counters(query: str) -> tuple[str, ...]:
    """The selectors of counters, by their names, whose values are read as they stand."""
    reading = read(query)
    if any(token[0].lower() in NO_VALUES for token in _tokens(query)):
        return ()
    if reading.subqueries or any(selector.shift for selector in reading.selectors):
        return ()  # their change may be what is read
    return tuple(
        selector.text
        for selector in reading.selectors
        if selector.reach is None and COUNTER.fullmatch(selector.text.partition("{")[0])
    )


def grouping(by: Sequence[str]) -> str:
    """`by (country, plan)`; names that PromQL can't take bare are quoted."""
    return (
        f"by ({', '.join(name if LABEL_NAME.fullmatch(name) else json.dumps(name) for name in by)})"
    )


def _tokens(query: str) -> list[re.Match[str]]:
    return [match for match in TOKEN.finditer(query) if match.lastgroup != "space"]


def _closing(tokens: Sequence[re.Match[str]], at: int) -> int:
    """The token that closes the parenthesis at token `at`."""
    depth = 0
    for place in range(at, len(tokens)):
        depth += {"(": 1, ")": -1}.get(tokens[place][0], 0)
        if depth == 0:
            return place
    return len(tokens)


def _longer(reach: str, step: timedelta) -> bool:
    length = _length(reach)
    return length is None or length > step


def _is_word(word: str, following: str) -> bool:
    """Whether a name is part of the language here: an operator, a function, an aggregation."""
    return (
        following == "("
        or following.lower() in {"by", "without"}
        or word in BEFORE_LABELS | JOINING | NO_METRIC | HIDING
    )


def _selector(query: str, tokens: Sequence[re.Match[str]], at: int) -> tuple[Selector, int]:
    """The selector that starts at token `at`, and the token after it."""
    first, end = tokens[at], at + 1
    if first.lastgroup == "name" and _kind(tokens, end) == "matchers":
        end += 1
    text, reach = query[first.start() : tokens[end - 1].end()], None
    if _kind(tokens, end) == "range":
        inside = tokens[end][0][1:-1].strip()
        reach, end = (
            None if ":" in inside else inside,
            end + 1,
        )  # a subquery evaluates an instant selector
    after = _after_shift(tokens, end)
    shift = f" {query[tokens[end].start() : tokens[after - 1].end()]}" if after > end else ""
    return Selector(text, reach, shift), after


def _after_shift(tokens: Sequence[re.Match[str]], at: int) -> int:
    """The token after any `offset -1d` and `@ start()` that begin at `at`."""
    while _text(tokens, at).lower() in {"offset", "@"}:
        at += 1
        while _text(tokens, at) in {"-", "+"}:
            at += 1
        at += 3 if _text(tokens, at) in {"start", "end"} else 1
    return min(at, len(tokens))


def _after_labels(tokens: Sequence[re.Match[str]], at: int) -> int:
    while at < len(tokens) and tokens[at][0] != ")":
        at += 1
    return at + 1


def _text(tokens: Sequence[re.Match[str]], at: int) -> str:
    return tokens[at][0] if at < len(tokens) else ""


def _kind(tokens: Sequence[re.Match[str]], at: int) -> str | None:
    return tokens[at].lastgroup if at < len(tokens) else None


def _length(reach: str) -> timedelta | None:
    try:
        return parse_duration(reach)
    except UsageError:
        return None
