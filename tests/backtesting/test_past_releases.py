"""Files of past releases: read in three forms, every mistake with its line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from anomaly.backtesting.releases import load
from anomaly.backtesting.result import Label, PastRelease
from anomaly.errors import UsageError
from anomaly.model import Release

NOW = datetime(2025, 6, 3, 16, tzinfo=UTC)
EXPECTED = (
    PastRelease(
        Release(
            datetime(2025, 5, 20, 9, tzinfo=UTC),
            datetime(2025, 5, 20, 9, 10, tzinfo=UTC),
            version="1",
        ),
        Label.GOOD,
    ),
    PastRelease(Release(datetime(2025, 5, 27, 7, tzinfo=UTC), version="2"), Label.BAD),
    PastRelease(Release(NOW - timedelta(hours=7))),
)
CSV = """started_at,finished_at,version,label
2025-05-27T09:00+02:00,,2,bad
2025-05-20T09:00Z,2025-05-20T09:10Z,1,good
-7h,,,
"""
YAML = """# newest first
- {started_at: 2025-05-27T09:00+02:00, version: 2, label: bad}
- {started_at: 2025-05-20T09:00Z, finished_at: 2025-05-20T09:10Z, version: "1", label: good}
- started_at: -7h
"""
JSON = json.dumps(
    [
        {"started_at": "2025-05-27T09:00+02:00", "version": "2", "label": "bad"},
        {
            "started_at": "2025-05-20T09:00Z",
            "finished_at": "2025-05-20T09:10Z",
            "version": "1",
            "label": "good",
        },
        {"started_at": "-7h", "label": "unknown"},
    ],
    indent=1,
)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.csv", CSV),
        ("r.csv", "\ufeff" + CSV),
        ("r.yaml", YAML),
        ("r.yml", YAML),
        ("r.json", JSON),
    ],
)
def test_every_form_says_the_same(name: str, text: str, tmp_path: Path) -> None:
    assert load(written(tmp_path, name, text), now=NOW) == EXPECTED


HEAD = "started_at,finished_at,version,label\n"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "r.csv",
            "",
            ":1: the first line must name the columns: started_at, finished_at, version, label",
        ),
        (
            "r.csv",
            "time,label\n2025-05-20T09:00Z,good\n",
            ":1: the first line must name the columns",
        ),
        ("r.csv", HEAD, ":1: holds no release"),
        (
            "r.csv",
            HEAD + "2025-05-20T09:00Z,,1,good\n2025-05-21T09:00,,2,bad\n",
            ":3: started_at: time 2025-05-21T09:00:00 has no time zone",
        ),
        ("r.csv", HEAD + "yesterday,,1,good\n", ":2: started_at: 'yesterday' is not a time"),
        ("r.csv", HEAD + ",,1,good\n", ":2: started_at is missing"),
        (
            "r.csv",
            HEAD + "2025-05-20T09:00Z,,1,goood\n",
            ":2: label is 'goood'; use one of good, bad, unknown (did you mean good?)",
        ),
        ("r.csv", HEAD + "2025-05-20T09:00Z,2025-05-20T08:00Z,1,good\n", "before it starts"),
        (
            "r.csv",
            HEAD + "2025-05-20T09:00Z,1,good\n",
            ":2: does not have the 4 cells of the first line",
        ),
        (
            "r.csv",
            "started_at,labels\n2025-05-20T09:00Z,good\n",
            (
                ":1: 'labels' means nothing; use started_at, finished_at, version, label (did you "
                "mean label?)"
            ),
        ),
        ("r.csv", HEAD + '2025-05-20T09:00Z,,"1,good\n', "not valid CSV"),
        ("r.yaml", "releases: []\n", ":1: is a mapping; write a list of releases"),
        ("r.yaml", "[]\n", ":1: holds no release"),
        ("r.yaml", "- started_at: -7h\n- 5\n", ":2: a release is 5; write a mapping"),
        ("r.yaml", "- started_at: -7h\n- label: bad\n", ":2: started_at is missing"),
        (
            "r.yaml",
            "- started_at: -7h\n- {started_at: -6h, labels: bad}\n",
            ":2: 'labels' means nothing",
        ),
        ("r.json", '[{"started_at": "-7h"},\n', "not valid YAML"),
        ("r.txt", "-7h\n", "the file name must end in one of .csv, .yaml, .yml, .json"),
    ],
)
def test_every_mistake_is_named_with_its_line(
    name: str, text: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as error:
        load(written(tmp_path, name, text), now=NOW)

    assert said in str(error.value)
    assert name in str(error.value)


def test_every_wrong_row_is_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, "r.csv", HEAD + "soon,,1,good\n2025-05-20T09:00Z,,1,fine\n")

    with pytest.raises(UsageError) as error:
        load(path, now=NOW)

    assert [line.split(":")[1] for line in str(error.value).splitlines()] == ["2", "3"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.csv: can't be read"):
        load(tmp_path / "nowhere.csv", now=NOW)
