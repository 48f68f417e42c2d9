"""Judge random frames and check that every number of every report stands.

python -m benchmarks.fuzz [--frames 20000] [--seed 1] [--first 0]

Prints the frames that failed, each with its problems; `--frames 1 --first N` judges frame N alone
and shows how it crashed.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence

import pandas as pd

from anomaly.decision.draft import NOTHING
from anomaly.decision.reasons import FASTER
from anomaly.errors import UsageError
from anomaly.model import (
    ChangeKind,
    Direction,
    Finding,
    Interval,
    ReleaseVerdict,
    Verdict,
)
from anomaly.reporting.archive import data_of, report_of
from anomaly.reporting.report import Report
from benchmarks.odd_frames import OddFrame, odd_frame

NUMBERS = (
    "effect",
    "effect_absolute",
    "observed",
    "expected",
    "detectable_effect",
    "detectable_absolute",
    "volume",
    "weight",
    "contribution",
    "mix_effect",
)
SHARES = ("p_value", "p_release", "level")
LEVELS = (ChangeKind.LEVEL, ChangeKind.RAMP)


def problems(frame: OddFrame, *, thorough: bool = False) -> list[str]:
    """What is wrong with the judgement about a frame; nothing if it is refused as wrong usage.

    A `thorough` check judges it a second time, and reads the report again from its own JSON.
    """
    copies = [each.copy(deep=True) for each in frame.inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            report = frame.judge()
        except UsageError:
            return []
        except Exception:  # noqa: BLE001  whatever it is, it is a problem
            return [traceback.format_exc()]
        out = [*_of_report(report)]
        if thorough:
            out += _of_copies(report, frame.judge())
    for each, copy in zip(frame.inputs, copies, strict=True):
        if not _same(each, copy):
            out.append("the judgement changed what it was given")
    return out


def _same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return (
        one.index.equals(other.index)
        and one.columns.equals(other.columns)
        and one.dtypes.equals(other.dtypes)
        and one.equals(other)
    )


def _of_copies(report: Report, again: Report) -> Iterator[str]:
    text = json.dumps(data_of(report), allow_nan=False)
    if json.dumps(data_of(again)) != text:
        yield "judged again, it says something else"
    if json.dumps(data_of(report_of(json.loads(text)))) != text:
        yield "read from its JSON, it says something else"
    if len(report.to_frame()) != len(report.findings):
        yield "its frame has other rows than its findings"


def _of_report(report: Report) -> Iterator[str]:
    data = report.to_dict()
    if json.loads(json.dumps(data, allow_nan=False)) != data:
        yield "its JSON says something else"
    if report.verdict is ReleaseVerdict.PASS and not report.final:
        yield "an early look passes"
    if (report.verdict is ReleaseVerdict.FAIL) != any(each.fails for each in report.findings):
        yield f"the release is {report.verdict}, its findings are another thing"
    if (report.points["lower"] > report.points["upper"]).any():
        yield "a band is upside down"
    for finding in report.findings:
        for problem in _of_finding(finding, report):
            yield f"{finding.kpi} {dict(finding.segment)} {finding.verdict}: {problem}"


def _of_finding(finding: Finding, report: Report) -> Iterator[str]:
    yield from _of_verdict(finding, report)
    yield from _of_size(finding.effect, finding.effect_interval, "effect")
    yield from _of_size(
        finding.effect_absolute, finding.effect_absolute_interval, "effect_absolute"
    )
    for plateau in finding.exposure.plateaus if finding.exposure else ():
        yield from _of_size(plateau.effect, plateau.effect_interval, "effect of a plateau")
        yield from _of_size(
            plateau.effect_absolute, plateau.effect_absolute_interval, "effect of a plateau"
        )
    for name in NUMBERS:
        value = getattr(finding, name)
        if value is not None and not math.isfinite(value):
            yield f"{name} is {value}"
    for name in SHARES:
        value = getattr(finding, name)
        if value is not None and not 0 <= value <= 1:
            yield f"{name} is {value}"
    if not 0 <= finding.steps <= finding.steps_planned:
        yield f"{finding.steps} of {finding.steps_planned} steps"
    yield from _of_onset(finding, report)


def _of_size(size: float | None, interval: Interval | None, name: str) -> Iterator[str]:
    if interval is None:
        return
    low, high = interval
    if not (math.isfinite(low) and math.isfinite(high)):
        yield f"the interval of {name} is {interval}"
    if not low <= high:
        yield f"the interval of {name} is upside down: {interval}"
    if size is not None and not low <= size <= high:
        yield f"{name} is {size}, outside of {interval}"


def _of_verdict(finding: Finding, report: Report) -> Iterator[str]:
    verdict, p, level = finding.verdict, finding.p_value, finding.level
    if not finding.reason:
        yield "no reason"
    if any(word in finding.reason.split() for word in ("nan", "inf", "-inf", "NaN")):
        yield f"a reason without a number: {finding.reason}"
    if verdict is Verdict.ERROR and not finding.reason.startswith(NOTHING):
        yield f"it failed: {finding.reason}"
    if verdict in (Verdict.REGRESSED, Verdict.RECOVERED) and not (
        p is not None and level is not None and p < level
    ):
        yield f"p is {p}, its level {level}"
    if verdict is Verdict.OK and not report.final:
        yield "ok at an early look"
    if "nothing so far" in finding.reason and verdict is not Verdict.INCONCLUSIVE:
        yield f"its reason is: {finding.reason}"
    rising = (finding.effect_absolute or 0.0) > (finding.mix_effect or 0.0)  # at the usual mix
    if finding.direction is Direction.EITHER or finding.kind not in LEVELS:
        return
    if FASTER in finding.reason:  # its level may be better than before
        return
    if verdict is Verdict.REGRESSED and rising != (finding.direction is Direction.UP):
        yield f"the effect is {finding.effect_absolute}"
    if verdict is Verdict.IMPROVED and rising == (finding.direction is Direction.UP):
        yield f"the effect is {finding.effect_absolute}"


def _of_onset(finding: Finding, report: Report) -> Iterator[str]:
    if finding.onset is not None:
        first, last = finding.onset_interval or (finding.onset, finding.onset)
        if not first <= finding.onset <= last:
            yield f"onset {finding.onset} is outside of {first} to {last}"
        if not report.baseline.start <= first <= last < report.observation.end:
            yield f"onset {first} to {last} is outside of the data"
    if finding.flagged is not None:
        seen = finding.flagged
        inside = report.observation.start <= seen.first <= seen.worst < report.observation.end
        if not inside or not math.isfinite(seen.worst_z) or seen.count > finding.steps_planned:
            yield f"flagged: {seen}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args(arguments)
    if asked.frames > 1:
        logging.disable(logging.CRITICAL)
    failed, started = 0, time.perf_counter()
    for number in range(asked.first, asked.first + asked.frames):
        found = problems(odd_frame(asked.seed, number), thorough=number % 10 == 0)
        failed += bool(found)
        for problem in found:
            print(f"--seed {asked.seed} --frames 1 --first {number}: {problem}", flush=True)
    seconds = time.perf_counter() - started
    print(f"{failed} of {asked.frames} frames failed, seed {asked.seed}, {seconds:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
