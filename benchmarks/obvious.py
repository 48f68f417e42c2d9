"""How often releases about which nobody would argue are answered right, beside simple judges that
are in use and other packages.

python -m benchmarks.obvious [--seeds N] [--only WORDS] [--write]

A row is a kind of the catalogue of `tests/obvious`, with the share of the seeds that must get the
right answer, and the share that does. The other judges only raise an alarm or don't: they are right
if they do on a harmful kind, and don't on a harmless one, at their known thresholds. They are
given a ratio as a ratio. Other packages judge the first PEER_SEEDS seeds. A share that is too low,
or for `anomaly` too high, is marked by ✗. The exit code is 1 if `anomaly` misses a kind. `--only`
judges the kinds whose group or name holds these words. `--write` puts the table into
docs/gallery.md.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks import generated
from benchmarks.judges import JUDGES, Judge, known
from benchmarks.peers import peers
from benchmarks.tables import GALLERY, place
from tests.obvious.catalogue import Case, Kind
from tests.obvious.kinds import KINDS, named

OURS = "anomaly"
MISS = " ✗"
PEER_SEEDS = 8  # of other packages, which need up to a second a case


@dataclass(frozen=True, slots=True)
class Row:
    """A kind, and per judge the share of the seeds that it answers right."""

    kind: Kind
    shares: Mapping[str, float]

    def held(self, judge: str) -> bool:
        """Whether the judge is right as often as wanted; that it may find too much is a matter of
        what `anomaly` promises."""
        share = self.shares[judge]
        return self.kind.holds(share) if judge == OURS else share >= self.kind.at_least

    def cells(self) -> str:
        """The row of the table."""
        wanted = f"{self.kind.at_least:.2f}"
        if self.kind.at_most < 1:
            wanted += f"–{self.kind.at_most:.2f}"
        shares = [
            f"{share:.2f}{'' if self.held(judge) else MISS}" for judge, share in self.shares.items()
        ]
        return f"| {' | '.join([self.kind.group, self.kind.name, wanted, *shares])} |"


def others() -> tuple[dict[str, Judge], list[str]]:
    """The judges beside `anomaly`, and the packages that are missing."""
    installed, missing = peers()
    return {name: judge for name, judge in JUDGES.items() if name != OURS} | installed, missing


def shares(name: str, seeds: int) -> dict[str, float]:
    """Per judge the share of the seeds of this kind that it answers right."""
    kind = named(name)
    shown = [as_shown(kind.case(seed)) for seed in range(seeds)]
    out = {OURS: sum(kind.answer(seed) for seed in range(seeds)) / seeds}
    for judge_name, judge in others()[0].items():
        mine = shown if judge_name in JUDGES else shown[:PEER_SEEDS]
        out[judge_name] = sum(alarms(judge, case) == kind.harmful for case in mine) / len(mine)
    return out


def as_shown(case: Case) -> generated.Case:
    """What the other judges see of a case: its values, the moment of the release, and nothing
    else."""
    values = case.series()
    if "denominators" in case.options:
        values = values / case.options["denominators"]
    before = int((~case.after).sum())
    return generated.Case("", values.to_numpy(), case.index, before, "", 0.0)


def alarms(judge: Judge, case: generated.Case) -> bool:
    """Whether the judge raises an alarm; none does where nothing was ever there."""
    if len(known(case.values[: case.before])) == 0:
        return False
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # constants and gaps are the judge's own affair
        return judge(case).alarm


def summary(rows: Sequence[Row]) -> str:
    """How many kinds each judge holds: the last line."""
    held = {judge: sum(row.held(judge) for row in rows) for judge in rows[0].shares}
    return f"Of {len(rows)} kinds, " + ", ".join(f"{name} holds {n}" for name, n in held.items())


def main(seeds: int, only: str, *, write: bool) -> int:
    """Print the table; 1 if `anomaly` misses a kind, 2 if there is none to judge."""
    names = [kind.name for kind in KINDS if only in kind.name or only in kind.group]
    if not names:
        print(f"no kind holds {only!r} in its name or group", file=sys.stderr)
        return 2
    judges, missing = others()
    lines = [
        "| " + " | ".join(["group", "kind", "wanted", OURS, *judges]) + " |",
        "|---" * (len(judges) + 4) + "|",
    ]
    print("\n".join(lines), flush=True)
    rows = []
    with ProcessPoolExecutor() as pool:
        for name, right in zip(names, pool.map(partial(shares, seeds=seeds), names), strict=True):
            rows.append(Row(named(name), right))
            print(rows[-1].cells(), flush=True)
    lines += [each.cells() for each in rows]
    last = [
        f"{seeds} seeds a kind, of which other packages judge the first {min(seeds, PEER_SEEDS)}.",
        *[f"{package} is not installed; `make peers` installs it." for package in missing],
        f"{summary(rows)}.",
    ]
    print("\n".join(["", *last]))
    if write:
        place("obvious", "\n".join([*lines, "", *last]), GALLERY)
    return 0 if all(each.held(OURS) for each in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--only", default="", metavar="WORDS")
    parser.add_argument("--write", action="store_true", help="put the table into docs/gallery.md")
    asked = parser.parse_args()
    if asked.write and asked.only:
        parser.error("--write needs every kind; leave out --only")
    return asked


if __name__ == "__main__":
    options = _options()
    sys.exit(main(options.seeds, options.only, write=options.write))
