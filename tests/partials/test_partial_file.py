"""Parts of a check, written by one machine each and put together by another, give the answer of
one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from anomaly.cli.ending import run
from anomaly.cli.exit_codes import ExitCode
from anomaly.contracts import Collected
from anomaly.decision.judge import Settings
from anomaly.engine.workers import ALONE
from anomaly.errors import CollectError, UsageError
from anomaly.model import Calendar, Correction, Release
from anomaly.panel import assemble, grid
from anomaly.partials.conclusion import conclusion
from anomaly.partials.hearing import Hearings, divided
from anomaly.partials.inquiry import Inquiry, shards
from anomaly.partials.partial_file import SCHEMA, Part, load, save, together
from anomaly.timing.spans import plan
from tests.decision.test_judge import IN_STAGES, KPIS, columns
from tests.decision.test_mix import HALF_HOURLY, NOW
from tests.partials.test_hearing import same
from tests.support.simulations import STARTED, padded
from tests.test_pipeline import RELEASED, folder  # noqa: F401  a fixture

VERSION = "1.0"


def parts(release: Release, count: int) -> tuple[Inquiry, list[Part]]:
    """What so many machines find out; the second KPI could not be read."""
    spans = plan(release, HALF_HOURLY, now=NOW)
    settings = Settings(Calendar(), 0.01, Correction.HOLM)
    inquiry = Inquiry(KPIS, release, spans, HALF_HOURLY.step, settings)
    index = grid(spans.span, HALF_HOURLY.step)
    panel = assemble({key: padded(each, len(index)) for key, each in columns().items()}, index)
    collected = Collected(panel, errors={"elsewhere": CollectError("no answer")})
    divisions = [*enumerate(shards(KPIS))]
    return inquiry, [
        Part(
            number=number,
            count=count,
            version=VERSION,
            digest="abc",
            only=(),
            release=release,
            spans=spans,
            now=NOW,
            partials=tuple(
                zip(
                    (place for place, _ in divisions[number - 1 :: count]),
                    Hearings(inquiry, ALONE, None).partials(
                        divided(collected, [each for _, each in divisions[number - 1 :: count]])
                    ),
                    strict=True,
                )
            ),
        )
        for number in range(1, count + 1)
    ]


def written(tmp_path: Path, part: Part) -> Path:
    path = tmp_path / f"{part.number}.npz"
    save(part, path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("release", [Release(STARTED), IN_STAGES], ids=["at once", "in stages"])
def test_parts_from_files_give_the_answer_of_one(release: Release, tmp_path: Path) -> None:
    inquiry, (whole,) = parts(release, 1)
    _, several = parts(release, 5)
    paths = [written(tmp_path, part) for part in reversed(several)]

    partials = together([(path, load(path, VERSION)) for path in paths], "abc")

    answer = conclusion(inquiry, partials, {})
    assert same(answer, conclusion(inquiry, [each for _, each in whole.partials], {}))
    assert {finding.kpi for finding in answer.findings} == {kpi.name for kpi in KPIS}


def empty(number: int) -> Part:
    """The part of a machine for which no shard was left."""
    spans = plan(Release(STARTED), HALF_HOURLY, now=NOW)
    return Part(number, 3, VERSION, "abc", (), Release(STARTED), spans, NOW, ())


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([2], "missing: the parts 3/3; a decision needs every part"),
        ([2, 3, 2], "2.npz: is part 2/3, as is 2.npz"),
    ],
)
def test_every_part_must_be_there_once(others: list[int], words: str) -> None:
    given = [(Path(f"{number}.npz"), empty(number)) for number in (1, *others)]

    with pytest.raises(UsageError) as wrong:
        together(given, "abc")

    assert str(wrong.value) == words


LATER = plan(Release(STARTED), HALF_HOURLY, now=NOW - timedelta(hours=1))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(empty(2), digest="def"), "2.npz: was made with another checklist"),
        (replace(empty(2), count=4), "2.npz: was made for parts 4, 1.npz for 3"),
        (replace(empty(2), only=("a",)), "2.npz: was made for the KPIs a, 1.npz for of the"),
        (
            replace(empty(2), release=Release(STARTED, version="2")),
            "2.npz: was made for the version 2, 1.npz for ",
        ),
        (replace(empty(2), spans=LATER), "2.npz: was made for data up to 2025-"),
    ],
)
def test_parts_must_be_about_the_same(other: Part, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")):
        together([(Path("1.npz"), empty(1)), (Path("2.npz"), other)], "abc")


def test_a_part_of_another_version_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, empty(1))

    with pytest.raises(UsageError, match=r"was written by anomaly 1\.0, this is 2\.0"):
        load(path, "2.0")


def test_a_file_that_is_no_part_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, empty(1))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "damaged.npz").write_bytes(data)
    (tmp_path / "text.npz").write_text("nothing")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))

    for name in ("damaged", "text", "other"):
        with pytest.raises(UsageError, match="write it anew"):
            load(tmp_path / f"{name}.npz", VERSION)
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "none.npz", VERSION)


def test_a_file_can_name_no_other_class(tmp_path: Path) -> None:
    for name in ("os:system", "anomaly.cli.session:Session", "anomaly.model:timedelta"):
        form = {
            "schema": SCHEMA,
            "version": VERSION,
            "part": {"object": 0},
            "objects": [{"class": name, "fields": {}}],
        }
        text = np.frombuffer(json.dumps(form).encode(), np.uint8)
        np.savez(tmp_path / "bad.npz", form=text)

        with pytest.raises(UsageError, match="is no class"):
            load(tmp_path / "bad.npz", VERSION)


@pytest.mark.slow
def test_the_command_merges_what_check_wrote(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checklist = str(folder / "checklist.yaml")
    when = ["--released-at", RELEASED.isoformat()]
    files = [str(folder / f"{number}.npz") for number in (1, 2)]

    assert run(["check", checklist, *when, "--output", "json"]) == ExitCode.PASS
    whole = json.loads(capsys.readouterr().out)
    for number, file in enumerate(files, 1):
        line = ["check", checklist, *when, "--shard", f"{number}/2", "--partial", file]
        assert run(line) == ExitCode.PASS
    assert "part 1/2: 2 of 2 KPIs" in capsys.readouterr().out
    assert run(["merge", checklist, *files, "--output", "json"]) == ExitCode.PASS
    merged = json.loads(capsys.readouterr().out)
    for answer in (whole, merged):
        del answer["made"]["now"]
    assert merged == whole


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--shard", "1/2"], "--shard and --partial belong together"),
        (["--shard", "3/2", "--partial", "x"], "--shard is '3/2'; give K/N"),
        (["--shard", "1/2", "--partial", "x", "--report", "y.html"], "--report needs the answer"),
    ],
)
def test_wrong_options_of_a_part_are_named(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: str,
) -> None:
    line = ["check", str(folder / "checklist.yaml"), "--released-at", RELEASED.isoformat()]

    assert run([*line, *options]) == ExitCode.USAGE
    assert words in capsys.readouterr().err
