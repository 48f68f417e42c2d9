"""What numbers are by their names: counts of requests, counts of errors, latencies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

BETWEEN_WORDS = re.compile(r"[\W_]+|(?<=[a-z])(?=[A-Z])")
FAILED = re.compile(r"err|fail|exception|fault|5xx")
SLOW = re.compile(r"latenc|duration|elapsed|(response|request)_time|timer")
ATTEMPTS = re.compile(r"(^|_)(requests?|reqs?|hits?|calls?|queries|invocations?|orders?)(_|$)")
COUNTS = frozenset({"count", "counter"})
AMOUNTS = frozenset({*COUNTS, "value", "sum", "total"})  # which say nothing of what they count
NO_AMOUNTS = frozenset(
    {"rate", "ps", "persecond", "std", "stddev", "min", "max", "lower", "upper", "squares"}
)
RANK = re.compile(
    r"(?:^|_)(?:p|q|perc|percentile|upper)_?(\d{2,3})$|(?:^|_)(\d{2,3})_?(?:percentile|perc|th)$"
)
MEANS = {"mean": "mean", "avg": "mean", "average": "mean", "median": "p50"}
BEST = ("p95", "p99", "p90", "mean")  # of the latencies


class Role(StrEnum):
    """What a number is of requests."""

    REQUESTS = "requests"
    ERRORS = "errors"
    LATENCY = "latency"


def words_of(name: str) -> str:
    """A name in lower case, its words joined by _."""
    return BETWEEN_WORDS.sub("_", name).lower().strip("_")


def statistic_of(name: str) -> str:
    """Which latency a number of that name is, like p95; empty if the name does not say it."""
    text = words_of(name)
    if match := RANK.search(text):
        return f"p{match[1] or match[2]}"
    return MEANS.get(text.rpartition("_")[2], "")


def role_of(group: str, name: str) -> Role | None:
    """What a number of a group is: by its name, or by that of its group if it is only `count` or
    `p95`. Rates and extremes are nothing."""
    text, statistic = words_of(name), statistic_of(name)
    tail = text.rpartition("_")[2]
    if tail in NO_AMOUNTS:
        return None
    if text in AMOUNTS or (statistic and not SLOW.search(text)):
        text = words_of(f"{group}_{name}")
    has_failed, is_slow = bool(FAILED.search(text)), bool(SLOW.search(text))
    if is_slow and not has_failed:
        if tail in COUNTS:
            return Role.REQUESTS
        return None if tail in AMOUNTS - {"value"} else Role.LATENCY
    if is_slow or statistic:
        return None
    if has_failed:
        return Role.ERRORS
    return Role.REQUESTS if ATTEMPTS.search(text) else None


@dataclass(slots=True)
class Group:
    """The numbers of one thing by what they are, in order of preference. Mutable, for it grows."""

    name: str
    numbers: dict[Role, list[str]] = field(default_factory=dict)

    def first(self, role: Role) -> str:
        """The name of the number to take; empty if there is none."""
        return next(iter(self.numbers.get(role, ())), "")

    @property
    def rank(self) -> tuple[int, str]:
        """Sorts what says most to the front."""
        return -len(self.numbers), self.name


def groups(names: Mapping[str, Sequence[str]]) -> list[Group]:
    """The groups that have numbers of requests, those that say most first; `names` are the names of
    the numbers of each."""
    out = []
    for name, numbers in names.items():
        group = Group(name)
        for each in sorted(numbers, key=_preference):
            role = role_of(name, each)
            if role is None and _is_of_timer(name, each, numbers):
                role = Role.LATENCY
            if role is not None:
                group.numbers.setdefault(role, []).append(each)
        if group.numbers:
            out.append(group)
    return sorted(out, key=lambda each: each.rank)


def _is_of_timer(group: str, name: str, numbers: Sequence[str]) -> bool:
    """Whether a number is the mean or a percentile of requests that are counted beside it: timers
    of metrics libraries write both."""
    text = words_of(name)
    stem = RANK.sub("", text) if RANK.search(text) else text.rpartition("_")[0]
    count = f"{stem}_count".strip("_")
    is_of_requests = ATTEMPTS.search(words_of(f"{group}_{name}")) is not None
    return bool(statistic_of(name)) and is_of_requests and count in map(words_of, numbers)


def _preference(name: str) -> tuple[int, int, str]:
    """The best statistic first, then the shortest name."""
    statistic = statistic_of(name)
    return BEST.index(statistic) if statistic in BEST else len(BEST), len(name), name
