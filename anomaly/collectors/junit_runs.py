"""Test runs from JUnit XML files: what each run says of the tests of each suite and class."""

from __future__ import annotations

import io
import math
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
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

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out, and what was taken for something."""
        said = {
            "{:,} repeated suites count once": self.repeated,
            "{:,} tests have several results in a suite: attempts, of which the last one counts": (
                self.attempts
            ),
            "{:,} XML files hold no test suites and are left out": self.others,
        }
        return tuple(text.format(count) for text, count in said.items() if count)


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


def read_runs(folder: Path, window: Window, zone: ZoneInfo | None, max_bytes: int) -> Runs:
    """The runs in a folder that began in the window: each file of it is a run, and so is each
    folder with all of its files.

    A run began when its name says, else at the earliest timestamp of its suites; without a zone
    that is a local time of `zone`. Raises CollectError for what can't be read.
    """
    runs, seen = Runs(), set[int]()
    for number, (entry, files) in enumerate(_entries(folder)):
        named = _named(entry)
        if named is not None and not window.start <= named < window.end:
            runs.moments.append(named)
            continue
        suites: list[_Suite] = []
        for file in files:
            found = _suites(file, max_bytes)
            runs.others += found is None
            suites += found or []
        if not suites and named is None:
            continue
        moment = named or _earliest(entry, suites, zone)
        runs.moments.append(moment)
        if not window.start <= moment < window.end:
            continue
        for suite in suites:
            key = hash((moment, suite))
            runs.repeated += key in seen
            if key not in seen:
                seen.add(key)
                runs.attempts += _add(suite, number, moment, runs.tests)
    return runs


def _entries(folder: Path) -> Iterator[tuple[Path, Sequence[Path]]]:
    """Each run by its name, with its files."""
    try:
        entries = sorted(each for each in folder.iterdir() if not each.name.startswith("."))
    except OSError as error:
        raise CollectError(f"{folder} can't be read: {error.strerror}; give a folder") from None
    found = 0
    for entry in entries:
        files = (
            sorted(
                Path(place) / name
                for place, _, names in os.walk(entry)
                for name in names
                if _is_xml(name)
            )
            if entry.is_dir()
            else [entry] * _is_xml(entry.name)
        )
        found += len(files)
        if found > MOST_FILES:
            raise CollectError(
                f"{folder}: more than {MOST_FILES:,} files; keep the runs that a baseline needs"
            )
        if files:
            yield entry, files
    if not found:
        raise CollectError(f"{folder} holds no .xml file; is it the folder of the test runs?")


def _is_xml(name: str) -> bool:
    return name.lower().endswith(".xml") and not name.startswith(".")


def _named(entry: Path) -> datetime | None:
    match = NAMED.match(entry.name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise CollectError(f"{_shown(entry)}: {match[0]} is not a time") from None


def _earliest(entry: Path, suites: Sequence[_Suite], zone: ZoneInfo | None) -> datetime:
    """When the first of the suites began."""
    written = {suite.timestamp: suite for suite in suites if suite.timestamp}
    if not written:
        raise CollectError(f"{_shown(entry)}: no suite has a timestamp; {NO_TIME}")
    moments = []
    for text, suite in written.items():
        where = f"{_shown(entry)}: suite {plain(suite.name, SHOWN)!r}"
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


def _suites(file: Path, max_bytes: int) -> list[_Suite] | None:
    """The suites of a file, nested ones too; None where it holds something else."""
    from defusedxml import DefusedXmlException, ElementTree
    from junitparser import JUnitXmlError
    from junitparser.xunit2 import JUnitXml

    def parsed(content: BinaryIO) -> Any:
        return ElementTree.parse(content, forbid_dtd=True)

    content = _content(file, max_bytes)
    try:
        waiting, suites = [*JUnitXml.fromfile(content, parse_func=parsed)], []
        for suite in waiting:  # which grows
            waiting += suite.testsuites()
            results = tuple(map(_result, suite.iterchildren(suite.testcase)))
            about = (suite.name or "", suite.timestamp or "", suite.hostname or "")
            suites.append(_Suite(*about, results))
    except JUnitXmlError:
        return None
    except DefusedXmlException:
        raise CollectError(
            f"{_shown(file)}: declares a document type or entities, which no test run needs"
        ) from None
    except ParseError as error:
        raise CollectError(
            f"{_shown(file)}: is no whole XML ({error}); write it again, or remove it"
        ) from None
    except (ValueError, LookupError) as error:
        raise CollectError(f"{_shown(file)}: {plain(str(error), 100)}") from None
    return suites


def _content(file: Path, max_bytes: int) -> BinaryIO:
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):
            raise CollectError(f"{_shown(file)}: is no regular file")
        with file.open("rb") as stream:
            content = stream.read(max_bytes + 1)
    except OSError as error:
        raise CollectError(f"{_shown(file)} can't be read: {error.strerror}") from None
    if len(content) > max_bytes:
        raise CollectError(
            f"{_shown(file)}: more than {max_bytes:,} bytes; leave the output of tests out of it, "
            "or set max_bytes"
        )
    return io.BytesIO(content)


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
        named = classes.setdefault(result.class_name, {})
        named.setdefault(result.name or place, []).append(result)
    several = 0
    for class_name, named in classes.items():
        last = [attempts[-1].outcome for attempts in named.values()]
        again = [len(each) > 1 or each[0].is_flaky for each in named.values()]
        took = [each.seconds for attempts in named.values() for each in attempts]
        known = [seconds for seconds in took if seconds is not None]
        several += sum(len(attempts) > 1 for attempts in named.values())
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
                duration=math.fsum(known) if known else math.nan,
            )
        )
    return several


def _shown(path: Path) -> str:
    """A path below the folder of the runs, for an error."""
    with suppress(IndexError):
        return plain(str(Path(*path.parts[-2:])), 100)
    return plain(str(path), 100)
