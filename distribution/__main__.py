"""`python -m distribution`: the files of a release in dist/, or why they can't be made."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path

from distribution import artifacts, trial
from distribution.errors import ReleaseError
from distribution.readiness import ROOT, project_version

DIST = ROOT / "dist"


def main() -> int:
    try:
        made = make(DIST)
    except ReleaseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    print((DIST / artifacts.HASHES).read_text(encoding="utf-8"), end="")
    for file in made:
        print(f"{file.name} runs in an empty environment")
    return 0


def make(folder: Path) -> list[Path]:
    """Write all files into `folder`, in place of what is there; the wheel and the sdist of them.

    Raises ReleaseError unless both run in an empty environment.
    """
    time = artifacts.commit_time()
    shutil.rmtree(folder, ignore_errors=True)
    artifacts.build(folder, time)
    built = sorted(folder.iterdir())
    _built_again(built, time)
    (folder / artifacts.REQUIREMENTS).write_text(artifacts.requirements(), encoding="utf-8")
    bill = json.dumps(artifacts.materials(time), indent=2)
    (folder / artifacts.MATERIALS).write_text(bill + "\n", encoding="utf-8")
    listed = artifacts.hashes(folder.iterdir())
    (folder / artifacts.HASHES).write_text(listed, encoding="utf-8")
    for file in built:
        trial.installs(file, project_version())
    return built


def _built_again(built: list[Path], time: int) -> None:
    """Raise ReleaseError unless a second build gives the same bytes."""
    with tempfile.TemporaryDirectory() as again:
        artifacts.build(Path(again), time)
        if artifacts.hashes(built) != artifacts.hashes(Path(again).iterdir()):
            raise ReleaseError("two builds of this commit differ")


if __name__ == "__main__":
    sys.exit(main())
