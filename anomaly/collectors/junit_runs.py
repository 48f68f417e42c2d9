"""Test runs from JUnit XML files: what each run says of the tests of each suite and class."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, BinaryIO
from xml.etree.ElementTree import ParseError
from zoneinfo import ZoneInfo

from anomaly.errors import CollectError
from anomaly.model import Window
from anomaly.wording import plain

MOST_FILES = 100_000
NAMED = re.compile(r"\d{8}T\d{6}Z")  # how the name of a run begins that says when it was
SHOWN = 40
NO_TIME = "begin the name of its file or folder with the start of the run, like 20250603T100000Z"


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run where it is kept: its name, and how errors show it. `files` reads one XML file after
    the other, each by the name that errors show; `began` is a time that is known without them."""

    name: str
    where: str
    files: Callable[[], Iterable[tuple[str, bytes]]]
    began: datetime | None = None


def is_xml(name: str) -> bool:
    """Whether a file may belong to a run."""
    return name.lower().endswith(".xml") and not name.startswith(".")


def too_large(file: str, max_bytes: int) -> CollectError:
    """The error for a file that is larger."""
    return CollectError(
        f"{file}: more than {max_bytes:,} bytes; leave the output of tests out of it, or set "
        "max_bytes"
    )


class Outcome(StrEnum):
    """What became of a test."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Tests:
    """What a run, which began at `moment`, says of the tests of one class of one suite: how many
    passed, failed (or broke), were skipped, and passed only when they were run again; and how long
    they took in seconds, NaN where no test says so."""

    run: int
    moment: datetime
    suite: str
    class_name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    flaky: int = 0
    duration: float = math.nan


@dataclass(slots=True)
class Runs:
    """The runs of a window, and what is worth knowing of how they were read. Mutable, for it
    grows."""

    tests: list[Tests] = field(default_factory=list)
    moments: list[datetime] = field(default_factory=list)  # of all runs
    repeated: int = 0  # suites that are there twice
    attempts: int = 0  # tests with several results in a suite
    others: int = 0  # files that hold something else
    empty: int = 0  # runs without a file

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and what was taken for something."""
        notes = {
            "{:,} repeated suites count once": self.repeated,
            "{:,} tests have several results in a suite: attempts, of which the last one counts": (
                self.attempts
            ),
            "{:,} XML files hold no test suites and are left out": self.others,
            "{:,} runs hold no .xml file and are left out": self.empty,
        }
        return tuple(text.format(count) for text, count in notes.items() if count)


@dataclass(frozen=True, slots=True)
class _Result:
    """A result of a test; `is_flaky` is one that passed after it had failed."""

    class_name: str
    name: str
    outcome: Outcome
    is_flaky: bool
    seconds: float | None


@dataclass(frozen=True, slots=True)
class _Suite:
    """A suite as a file has it, the results in their order."""

    name: str
    timestamp: str
    host: str
    results: tuple[_Result, ...]


def read_runs(kept_runs: Iterable[KeptRun], window: Window, zone: ZoneInfo | None) -> Runs:
    """Those of the runs that began in the window.

    A run began when its name says, else at the earliest timestamp of its suites, else when it is
    said to have begun where it is kept; a timestamp without a zone is a local time of `zone`.
    Raises CollectError for what can't be read.
    """
    runs, keys = Runs(), set[int]()
    for number, run in enumerate(kept_runs):
        own_moment = _named(run)
        if own_moment is not None and not window.start <= own_moment < window.end:
            runs.moments.append(own_moment)
            continue
        suites: list[_Suite] = []
        is_empty = True
        for file, content in run.files():
            is_empty = False
            parts = _suites(file, content)
            runs.others += parts is None
            suites += parts or []
        runs.empty += is_empty
        if not suites and own_moment is None:
            continue
        moment = own_moment or _earliest(run, suites, zone)
        runs.moments.append(moment)
        if not window.start <= moment < window.end:
            continue
        for suite in suites:
            key = hash((moment, suite))
            runs.repeated += key in keys
            if key not in keys:
                keys.add(key)
                runs.attempts += _add(suite, number, moment, runs.tests)
    return runs


def _named(run: KeptRun) -> datetime | None:
    match = NAMED.match(run.name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise CollectError(f"{run.where}: {match[0]} is not a time") from None


def _earliest(run: KeptRun, suites: Sequence[_Suite], zone: ZoneInfo | None) -> datetime:
    """When the first of the suites began."""
    written = {suite.timestamp: suite for suite in suites if suite.timestamp}
    if not written and run.began is not None:
        return run.began
    if not written:
        raise CollectError(f"{run.where}: no suite has a timestamp; {NO_TIME}")
    moments = []
    for text, suite in written.items():
        where = f"{run.where}: suite {plain(suite.name, SHOWN)!r}"
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None and zone is None:
                raise CollectError(
                    f"{where}: the timestamp {plain(text, SHOWN)!r} has no time zone; set "
                    "timezone (UTC, Europe/Berlin)"
                )
            moments.append(
                (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
            )
        except (ValueError, OverflowError):
            raise CollectError(
                f"{where}: the timestamp {plain(text, SHOWN)!r} is not a time; {NO_TIME}"
            ) from None
    return min(moments)


def _suites(file: str, written: bytes) -> list[_Suite] | None:
    """The suites of a file, nested ones too; None where it holds something else."""
    from defusedxml import DefusedXmlException, ElementTree
    from junitparser import JUnitXmlError
    from junitparser.xunit2 import JUnitXml

    def parsed(content: BinaryIO) -> Any:
        return ElementTree.parse(content, forbid_dtd=True)

    try:
        waiting, suites = [*JUnitXml.fromfile(io.BytesIO(written), parse_func=parsed)], []
        for suite in waiting:  # which grows
            waiting += suite.testsuites()
            results = tuple(map(_result, suite.iterchildren(suite.testcase)))
            about = (suite.name or "", suite.timestamp or "", suite.hostname or "")
            suites.append(_Suite(*about, results))
    except JUnitXmlError:
        return None
    except DefusedXmlException:
        raise CollectError(
            f"{file}: declares a document type or entities, which no test run needs"
        ) from None
    except ParseError as error:
        raise CollectError(
            f"{file}: is no whole XML ({error}); write it again, or remove it"
        ) from None
    except (ValueError, LookupError) as error:
        raise CollectError(f"{file}: {plain(str(error), 100)}") from None
    return suites


def _result(case: Any) -> _Result:
    if case.is_failure or case.is_error:
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.SKIPPED if case.is_skipped else Outcome.PASSED
    seconds = case.time
    if seconds is not None and not 0 <= seconds < math.inf:
        seconds = None
    return _Result(case.classname or "", case.name or "", outcome, case.is_flaky, seconds)


def _add(suite: _Suite, run: int, moment: datetime, tests: list[Tests]) -> int:
    """Adds the tests of a suite by class; how many of them have several results."""
    classes: dict[str, dict[str | int, list[_Result]]] = {} if suite.results else {"": {}}
    for place, result in enumerate(suite.results):
        by_name = classes.setdefault(result.class_name, {})
        by_name.setdefault(result.name or place, []).append(result)
    several = 0
    for class_name, by_name in classes.items():
        last = [attempts[-1].outcome for attempts in by_name.values()]
        again = [len(each) > 1 or each[0].is_flaky for each in by_name.values()]
        took = [each.seconds for attempts in by_name.values() for each in attempts]
        durations = [seconds for seconds in took if seconds is not None]
        several += sum(len(attempts) > 1 for attempts in by_name.values())
        tests.append(
            Tests(
                run,
                moment,
                suite.name,
                class_name,
                passed=last.count(Outcome.PASSED),
                failed=last.count(Outcome.FAILED),
                skipped=last.count(Outcome.SKIPPED),
                flaky=[*zip(last, again, strict=True)].count((Outcome.PASSED, True)),
                duration=math.fsum(durations) if durations else math.nan,
            )
        )
    return several
