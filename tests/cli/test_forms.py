"""The other forms of a report on the command line: pictures, Markdown, points."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pandas as pd
import pytest

from anomaly.cli.forms import Forms
from anomaly.errors import UsageError
from anomaly.history.store import Store
from anomaly.reporting.report import Report
from tests.cli.test_operation_commands import Anomaly, anomaly, shop
from tests.sinks.pictures import drawable
from tests.support import reports
from tests.support.operation import RELEASED, Shop

__all__ = ["anomaly", "shop"]  # fixtures

ALL = "--pictures made/drawn --markdown made/comment.md --points made/points.csv"
PNG = b"\x89PNG"


def assert_all_there(folder: Path) -> None:
    assert {path.name for path in (folder / "drawn").iterdir()} == {
        "overview.png",
        "kpi-errors.png",
        "kpi-latency.png",
    }
    assert all(path.read_bytes().startswith(PNG) for path in (folder / "drawn").iterdir())
    assert (folder / "comment.md").read_text(encoding="utf-8").startswith("### FAIL")
    assert set(pd.read_csv(folder / "points.csv")["kpi"]) == {"errors", "latency"}


@pytest.mark.slow
def test_check_writes_every_form_beside_the_answer(anomaly: Anomaly, shop: Shop) -> None:
    code, out, err = anomaly(3, f"check checklist.yaml --released-at {shop_time()} {ALL}")
    assert (code, err) == (1, "")
    assert out.startswith("FAIL  errors")
    assert_all_there(shop.folder / "made")


@pytest.mark.slow
def test_a_kept_report_is_written_again_in_every_form(anomaly: Anomaly, shop: Shop) -> None:
    anomaly(0, "release start --release 2.0 --checklist checklist.yaml")
    anomaly(3, "tick checklist.yaml")
    with Store(shop.folder / "history.db") as store:
        known = store.releases()[0].id
    code, out, _ = anomaly(4, f"show {known} --checklist checklist.yaml {ALL}")
    assert (code, out[:12]) == (0, "FAIL  errors")
    assert_all_there(shop.folder / "made")


@pytest.mark.slow
def test_watch_writes_what_it_saw_last(anomaly: Anomaly, shop: Shop) -> None:
    code, _, err = anomaly(3, f"watch checklist.yaml --released-at {shop_time()} {ALL}")
    assert code == 1, err
    assert_all_there(shop.folder / "made")


def test_points_are_parquet_by_the_name_of_the_file(tmp_path: Path) -> None:
    report = drawable()
    assert Forms(None, None, tmp_path / "points.parquet").write(report)
    back = pd.read_parquet(io.BytesIO((tmp_path / "points.parquet").read_bytes()))
    assert list(back["observed"]) == list(report.points["observed"])


def test_what_can_not_be_made_is_said_before_any_work(anomaly: Anomaly, shop: Shop) -> None:
    (shop.folder / "file").touch()
    for options, said in (
        ("--points points.xlsx", "--points points.xlsx must end in .csv or .parquet"),
        ("--pictures file", "--pictures file is not a folder"),
    ):
        code, out, err = anomaly(3, f"check checklist.yaml --released-at {shop_time()} {options}")
        assert (code, out, err) == (2, "", f"error: {said}\n")


@pytest.mark.parametrize(
    ("forms", "module", "said"),
    [
        (
            (Path("drawn"), None, None),
            "matplotlib",
            r"--pictures needs matplotlib: pip install 'release-anomaly\[plot\]'",
        ),
        (
            (None, None, Path("p.parquet")),
            "pyarrow",
            r"--points p.parquet needs pyarrow: pip install 'release-anomaly\[parquet\]'",
        ),
    ],
)
def test_a_missing_extra_is_named_with_its_install(
    forms: tuple[Path | None, Path | None, Path | None],
    module: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("anomaly.cli.forms.find_spec", lambda name: None if name == module else sys)
    with pytest.raises(UsageError, match=said):
        Forms(*forms)
    Forms(None, Path("comment.md"), Path("points.csv"))


def test_a_file_that_can_not_be_written_is_said_after_the_answer(
    anomaly: Anomaly, shop: Shop
) -> None:
    (shop.folder / "made").touch()
    code, out, err = anomaly(
        3, f"check checklist.yaml --released-at {shop_time()} --markdown made/comment.md"
    )
    assert out.startswith("FAIL  errors")
    assert code == 1
    assert "made/comment.md: can't be written: " in err


def names(report: Report) -> list[str]:
    from anomaly.reporting.figures import pictures

    return [name for name, _ in pictures(report)]


@pytest.mark.slow
@pytest.mark.parametrize("text", [*reports.HOSTILE, "../../etc/passwd", "漢字"])
def test_no_name_leaves_the_folder(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for drawn in ("overview_png", "kpi_png"):  # tests/reporting draws them
        monkeypatch.setattr(f"anomaly.reporting.figures.{drawn}", lambda *_, **__: b"")
    for name in names(drawable(reports.hostile(text))):
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")
        assert name.count(".") == 1
        assert len(name) < 100


@pytest.mark.slow
def test_names_that_look_alike_stay_apart() -> None:
    alike = [reports.LATENCY, *(reports.REGRESSED,) * 2]
    assert names(reports.report(reports.failing().verdict, *alike))[1:] == [
        "kpi-checkout-errors-country-de.png",
        "kpi-checkout-errors-country-de-2.png",
        "kpi-p95-latency.png",
    ]


def shop_time() -> str:
    return RELEASED.isoformat()
