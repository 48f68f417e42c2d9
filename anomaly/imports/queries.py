"""PromQL of other tools: placeholders, conditions, and how a query becomes that of a KPI."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anomaly.collectors import promql
from anomaly.collectors.promql import TOKEN
from anomaly.model import Direction

AGGREGATIONS = frozenset(
    {"sum", "avg", "min", "max", "count", "group", "quantile", "stddev", "stdvar"}
)
MANY = frozenset({"topk", "bottomk", "sort", "sort_desc", "count_values", "limitk"})
OFFSET_OR_JOIN = frozenset({"group_left", "group_right"})
FLIPPED = {"<": ">", ">": "<"}
NUMBER = re.compile(r"[-+*/().\s\d]*\d[-+*/().\s\deE]*")
RESULT = (
    r"(?:results?(?:\[0\]){0,2}|result\.\w+|result\['[^']*'\]|#|default\(result(?:\[0\])?,[^)]*\)|"
    r"asFloat\(result(?:\[0\])?\))"
)
CONDITION = re.compile(
    rf"{RESULT}\s*(?P<after>[<>])=?\s*[-+.\d]|[.\d]\s*(?P<before>[<>])=?\s*{RESULT}"
)
LONGEST_VALUE = 5_000  # characters that take the place of a placeholder
BRACES = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Query:
    """What a KPI is asked for by: `above` per `below`, where there is a `below`; the labels by
    which the answer is split, None where these can't be told; and what is worth knowing."""

    above: str
    below: str | None
    by: tuple[str, ...] | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    """The condition of an alert: what is measured, which way is bad, and what was left out."""

    expression: str
    direction: Direction
    threshold: str
    rest: str


def filled(
    text: str, placeholder: re.Pattern[str], value: Callable[[re.Match[str]], str | None]
) -> tuple[str, list[str]]:
    """The text with its placeholders filled in, and those that have no value, as they stand
    there."""
    missing: list[str] = []

    def of(match: re.Match[str]) -> str:
        filling = value(match)
        if filling is None or len(filling) > LONGEST_VALUE:
            missing.append(match[0])
            return match[0]
        return filling

    return placeholder.sub(of, text), list(dict.fromkeys(missing))


def names_in(placeholders: Sequence[str]) -> list[str]:
    """What stands in the braces of placeholders like `{{ target }}`."""
    return [match[1] for match in map(BRACES.fullmatch, placeholders) if match]


def options(names: Sequence[str]) -> str:
    """The options that give placeholders of these names a value."""
    return " ".join(f"--set {name}=VALUE" for name in dict.fromkeys(names))


def query_of(text: str) -> Query:
    """How a KPI is asked for by this PromQL. A ratio of two sums of rates becomes the ratio of the
    two counts, so that its noise is that of counts."""
    text = _one_line(text.strip())
    sides = promql.division(_unwrapped(text))
    if sides is not None and all(promql.is_sum(_unwrapped(each)) for each in sides):
        above, below = _counted(_unwrapped(sides[0])), _counted(_unwrapped(sides[1]))
        if above and below:
            return Query(above, below, labels_of(above))
    return Query(text, None, labels_of(text))


def alert(text: str) -> Alert | str:
    """The condition of an alert, or why it is none that a KPI can take the place of."""
    text = _unwrapped(_one_line(text.strip()))
    tokens = _tokens(text)
    if tokens and tokens[0][0].lower() in {"absent", "absent_over_time"}:
        return "absence is no KPI; no_data: fail of a KPI says that missing data fail a release"
    joints = [place for place in _top(tokens) if tokens[place][0].lower() in promql.JOINING]
    if any(tokens[place][0].lower() == "or" for place in joints):
        return "it joins conditions by or; write a KPI for each"
    first = text[: tokens[joints[0]].start()] if joints else text
    rest = text[tokens[joints[0]].start() :] if joints else ""
    return _comparison(_unwrapped(first.strip()), rest)


def bad_direction(condition: str, *, is_success: bool) -> Direction | None:
    """Which way is worse by the condition of an analysis (`result[0] >= 0.95`); None if it does
    not say."""
    signs = {match["after"] or FLIPPED[match["before"]] for match in CONDITION.finditer(condition)}
    if len(signs) != 1 or re.search(r"!\s*\(|==|!=", condition):
        return None
    is_lower_bound = signs == {">"}
    return Direction.DOWN if is_lower_bound == is_success else Direction.UP


def _comparison(text: str, rest: str) -> Alert | str:
    tokens = _tokens(text)
    places = [place for place in _top(tokens) if tokens[place][0] in "<>=!"]
    if not places:
        return "it has no condition at its top: any value raises it"
    sign = tokens[places[0]][0]
    if sign in "=!" or len(places) > 2:  # noqa: PLR2004  >= is two
        return "it compares for equality, or more than once: a state, no KPI that gets worse"
    end = tokens[places[-1]].end()
    left, right = text[: tokens[places[0]].start()].strip(), text[end:].strip()
    right = right.removeprefix("bool ").strip()
    if not left or not right:
        return "its condition can't be read"
    if NUMBER.fullmatch(left):
        left, right, sign = right, left, FLIPPED[sign]
    direction = Direction.UP if sign == ">" else Direction.DOWN
    return Alert(_unwrapped(left), direction, f"{sign} {right}", rest)


def _counted(side: str) -> str:
    """One side of a ratio as a count per step; empty if it is none."""
    tokens = _tokens(side)
    words = {token[0] for token in tokens if token.lastgroup == "name"}
    ranges = {token[0] for token in tokens if token.lastgroup == "range"}
    changes = words & promql.CHANGES
    if not changes or not changes <= promql.BORN or len(ranges) != 1 or ":" in min(ranges):
        return ""
    if "offset" in words or any(token[0] in "*/+-%^@" for token in tokens):
        return ""
    out, copied = "", 0
    for token in tokens:
        new = "[$step]" if token.lastgroup == "range" else ""
        if token.lastgroup == "name" and token[0] == "rate":
            new = "increase"
        if new:
            out += side[copied : token.start()] + new
            copied = token.end()
    return out + side[copied:]


def labels_of(text: str) -> tuple[str, ...] | None:
    """The labels by which the outermost aggregation splits; None if nothing is aggregated, or
    otherwise than by labels."""
    tokens = _tokens(text)
    words = [token[0].lower() for token in tokens]
    if (MANY | OFFSET_OR_JOIN | {"without"}) & set(words):
        return None
    first = next((place for place, word in enumerate(words) if word in AGGREGATIONS), None)
    if first is None:
        return None
    after = first + 1
    if after < len(words) and words[after] == "(":
        after = _closing(words, after) + 1
    if after >= len(words) or words[after] != "by":
        return ()
    inside = tokens[after + 2 : _closing(words, after + 1)]
    names = [each[0] for each in inside if each.lastgroup == "name"]
    return tuple(dict.fromkeys(name for name in names if name != "le"))


def _unwrapped(text: str) -> str:
    """The text without parentheses around all of it."""
    while text.startswith("("):
        tokens = _tokens(text)
        if _closing([token[0] for token in tokens], 0) != len(tokens) - 1:
            break
        text = text[1 : tokens[-1].start()].strip()
    return text


def _top(tokens: Sequence[re.Match[str]]) -> list[int]:
    """The places of the tokens that stand in no parentheses."""
    depth, places = 0, []
    for place, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if depth == 0 and token.lastgroup in {"name", "sign"}:
            places.append(place)
    return places


def _closing(words: Sequence[str], at: int) -> int:
    depth = 0
    for place in range(at, len(words)):
        depth += {"(": 1, ")": -1}.get(words[place], 0)
        if depth == 0:
            return place
    return len(words)


def _one_line(text: str) -> str:
    """PromQL on one line, unless a comment or a string would change by that."""
    inside = any(
        "\n" in token[0] for token in TOKEN.finditer(text) if token.lastgroup in {"string"}
    )
    return text if "#" in text or inside else re.sub(r"\s*\n\s*", " ", text)


def _tokens(text: str) -> list[re.Match[str]]:
    return [match for match in TOKEN.finditer(text) if match.lastgroup != "space"]
