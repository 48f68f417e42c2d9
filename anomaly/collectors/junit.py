"""Numbers of test runs, from JUnit XML in a folder, at an address, or kept by a CI system."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from anomaly.collectors.http_source import HttpSource
from anomaly.collectors.junit_folder import runs_in
from anomaly.collectors.junit_places import Access, Place, source_at
from anomaly.collectors.junit_runs import KeptRun, Runs, read_runs
from anomaly.contracts import Collected, Provenance
from anomaly.errors import CollectError, UsageError
from anomaly.model import Kpi, Window
from anomaly.panel import DENOMINATOR, NUMERATOR, VALUE, assemble, edges, grid, segment_text
from anomaly.wording import plain, stamp

NUMBERS = ("tests", "executed", "passed", "failed", "skipped", "flaky", "duration")
LABELS = {"suite": "suite", "class": "class_name"}  # as a query names them: the column
MOST_SERIES = 1000
NAMES_SHOWN = 12
LARGEST_FILE = 1 << 26
Values = dict[str, np.ndarray]  # of one side of a KPI: by segment, a value for each step


class JunitCollector:
    """Reads test runs in JUnit XML: from the folder `path`, from the address `url`, or those that
    GitHub Actions or GitLab keep.

    A file of the folder is a run, and so is a folder in it with all of its files; a zip at `url` is
    such a folder. Each artifact of the name `artifact` in the repository `github` is a run, and so
    is what a job of that name in the project `gitlab` keeps; `branch` names the only one that
    counts, and `url` is that of the API then. Credentials are `bearer_token`, or `username` and
    `password`; `headers` are sent, too.

    A query is the name of a number, and maybe patterns for suites and classes: `failed
    suite=checkout*`. A step has the runs that began in it: their tests are added up, and `duration`
    is the mean of them. A step without a run is missing. `timezone` is that of timestamps without
    one. Raises UsageError for settings that can't be used.
    """

    outside: ClassVar[frozenset[str]] = HttpSource.outside

    def __init__(
        self,
        *,
        path: Path | None = None,
        url: str | None = None,
        github: str | None = None,
        gitlab: int | str | None = None,
        artifact: str | None = None,
        branch: str | None = None,
        bearer_token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        headers: Mapping[str, str] | None = None,
        timezone: str | None = None,
        max_bytes: int = LARGEST_FILE,
        timeout: timedelta = timedelta(seconds=30),
        budget: timedelta = timedelta(minutes=5),
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        import_module("junitparser")  # what is missing is said before anything is read
        import_module("defusedxml")
        try:
            self._zone = None if timezone is None else ZoneInfo(timezone)
        except (KeyError, ValueError, OSError):
            raise UsageError(
                f"timezone is {timezone!r}; use an IANA name like UTC or Europe/Berlin"
            ) from None
        access = Access(bearer_token, username, password, headers or {})
        place = Place(url, github, gitlab, artifact, branch)
        if path is not None:
            if access.is_given or place.is_given:
                raise UsageError("path is given with what is for runs over HTTP; use one of them")
            self._runs: Callable[[Window], Iterator[KeptRun]]
            self._runs = lambda _: runs_in(path, max_bytes)
            return
        source = source_at(
            place,
            access,
            timeout=timeout,
            max_bytes=max_bytes,
            budget=budget,
            sleep=sleep,
            monotonic=monotonic,
        )
        self._runs = source.runs

    def collect(self, kpis: Sequence[Kpi], window: Window, step: timedelta, /) -> Collected:
        """The panel of `kpis` over the whole steps of `window`; what can't be read is an error of
        the KPIs concerned."""
        index = grid(window, step)
        columns: dict[tuple[str, str, str], np.ndarray] = {}
        provenance, errors = dict[str, Provenance](), dict[str, CollectError]()
        if not len(index):
            return Collected(assemble({}, index))
        bounds = edges(index, step)
        first = pd.Timestamp(bounds[0], tz="UTC").to_pydatetime()
        last = pd.Timestamp(bounds[-1], tz="UTC").to_pydatetime()
        try:
            window = Window(first, last)
            runs = read_runs(self._runs(window), window, self._zone)
        except CollectError as error:
            return Collected(assemble({}, index), {}, {kpi.name: error for kpi in kpis})
        read = _Read(runs, bounds)
        for kpi in kpis:
            try:
                sides = {VALUE if kpi.denominator is None else NUMERATOR: read.side(kpi.query, kpi)}
                if kpi.denominator is not None:
                    sides[DENOMINATOR] = read.side(kpi.denominator, kpi)
            except CollectError as error:  # one KPI must not hide the others
                errors[kpi.name] = error
                continue
            segments = [*dict.fromkeys(segment for side in sides.values() for segment in side)]
            nothing = np.full(len(index), np.nan)
            columns |= {
                (kpi.name, segment, role): side.get(segment, nothing)
                for segment in segments
                for role, side in sides.items()
            }
            notes = runs.notes if segments else (*runs.notes, read.nothing(kpi.query))
            provenance[kpi.name] = Provenance(kpi.query, kpi.denominator, notes)
        return Collected(assemble(columns, index), provenance, errors)


@dataclass(frozen=True, slots=True)
class _Query:
    """A number, and the patterns that name what it is of, by the column that they are for."""

    number: str
    patterns: dict[str, str]


class _Read:
    """What the runs say, by the steps that start and end at `bounds` (nanoseconds since 1970)."""

    def __init__(self, runs: Runs, bounds: np.ndarray) -> None:
        self._runs, self._steps = runs, len(bounds) - 1
        table = pd.DataFrame(map(asdict, runs.tests))
        if len(table):
            moments = pd.DatetimeIndex(table["moment"]).as_unit("ns").asi8
            table["step"] = np.searchsorted(bounds, moments, "right") - 1
            table["executed"] = table["passed"] + table["failed"]
            table["tests"] = table["executed"] + table["skipped"]
        self._table = table

    def side(self, text: str, kpi: Kpi) -> Values:
        """The values that a query asks for, by segment of the KPI. Raises CollectError."""
        query = _query(text)
        if unknown := [name for name in kpi.by if name not in LABELS]:
            raise CollectError(f"bad query: by names {unknown[0]!r}; use suite or class")
        table = self._table
        for column, pattern in query.patterns.items() if len(table) else ():
            table = table[table[column].map(lambda text, like=pattern: fnmatchcase(text, like))]
        if query.number == "duration" and len(table):
            table = table[table["duration"].notna()]
        if table.empty:
            return {}
        by = [LABELS[name] for name in kpi.by]
        groups = table.groupby([*by, "step"], sort=True)
        totals = groups[query.number].sum(min_count=1)
        if query.number == "duration":
            totals /= groups["run"].nunique()
        values: Values = {}
        for key, value in totals.items():
            *labels, at = key if isinstance(key, tuple) else (key,)
            segment = segment_text(dict(zip(kpi.by, labels, strict=True)))
            if segment not in values and len(values) == MOST_SERIES:
                raise CollectError(
                    f"limit: more than {MOST_SERIES:,} series; name suites or classes in the query"
                )
            values.setdefault(segment, np.full(self._steps, np.nan))[at] = value
        return values

    def nothing(self, text: str) -> str:
        """Why there is no value of a query."""
        moments = self._runs.moments
        if not self._runs.tests:
            span = f"{stamp(min(moments))} to {stamp(max(moments))}" if moments else "none"
            return f"no series matched: no run began in this window; known are {span}"
        columns = [*_query(text).patterns] or ["suite"]
        names = [*dict.fromkeys(self._table[columns[0]])]
        listing = ", ".join(plain(name, 40) or "''" for name in names[:NAMES_SHOWN])
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        what = {column: name for name, column in LABELS.items()}[columns[0]]
        return f"no series matched: {plain(text, 80)}; the runs have {what} {listing}{more}"


def _query(text: str) -> _Query:
    """A query as it is written. Raises CollectError."""
    try:
        number, *rest = shlex.split(text) or [""]
    except ValueError as error:
        raise CollectError(f"bad query: {plain(text, 80)!r}: {error}") from None
    if number not in NUMBERS:
        raise CollectError(
            f"bad query: {plain(number, 40)!r} is no number of a run; use one of "
            f"{', '.join(NUMBERS)}"
        )
    patterns: dict[str, str] = {}
    for each in rest:
        name, _, pattern = each.partition("=")
        if name not in LABELS or not pattern or LABELS[name] in patterns:
            raise CollectError(
                f"bad query: {plain(each, 40)!r}; after the number, write suite=PATTERN or "
                "class=PATTERN, each once"
            )
        patterns[LABELS[name]] = pattern
    return _Query(number, patterns)
