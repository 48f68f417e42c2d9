"""The command line: what it takes, what it prints where, and how it ends."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path

import pytest

from anomaly.cli.ending import run
from anomaly.cli.exit_codes import ExitCode, ExitCodes
from anomaly.cli.release import Words, end_of_watch, release_of
from anomaly.cli.session import Session
from anomaly.errors import UsageError
from anomaly.model import Release
from tests.docs.test_docs import commands_and_options
from tests.support import command
from tests.support.goldens import assert_golden
from tests.support.places import ROOT

SAMPLE = ROOT / "sample_data"
HEALTHY = SAMPLE / "healthy" / "checklist.yaml"
CREDENTIAL = SAMPLE / "credential" / "checklist.yaml"
RELEASED = ("--released-at", "2025-06-03T09:00:00Z", "--finished-at", "2025-06-03T09:10:00Z")
QUICK = (
    *RELEASED,
    "--only",
    "request errors",
)  # one KPI of seven, where the others add nothing but time
COMMANDS = (
    "demo",
    "init",
    "import",
    "validate",
    "test",
    "doctor",
    "check",
    "watch",
    "tick",
    "serve",
    "rhythm",
    "history",
    "show",
    "ack",
    "prune",
    "explain",
    "backtest",
    "merge",
    "parity",
    "schema",
    "release start",
    "release finish",
    "release abort",
    "release add",
    "release list",
    "sinks test",
    "install cron",
    "install systemd",
    "install kubernetes",
)
NOW = datetime(2025, 6, 3, 16, tzinfo=UTC)


def anomaly(
    *words: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m anomaly` as a process of its own."""
    environ = {**os.environ, "COLUMNS": "80"} | dict(env or {})
    return command.anomaly(words, environ=environ, folder=cwd)


# --- what it takes ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_golden_help(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code = run([*command.split(), "--help"])
    assert code == 0
    assert_golden(f"help/{command.replace(' ', '_') or 'anomaly'}.txt", capsys.readouterr().out)


def test_golden_help_covers_every_command() -> None:
    assert set(commands_and_options()) - {""} == set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Usage: anomaly"),
        (["chekc"], "Did you mean 'check'?"),
        (["check"], "CHECKLIST"),
        (["check", str(HEALTHY)], "--released-at"),
        (["check", str(HEALTHY), "--realeased-at", "now"], "--released-at"),
        (
            ["check", str(HEALTHY), "--released-at", "yesterday"],
            "--released-at: 'yesterday' is not a time",
        ),
        (["check", str(HEALTHY), "--released-at", "2025-06-03T09:00:00"], "has no time zone"),
        (["check", str(HEALTHY), "--released-at", "2125-06-03T09:00:00Z"], "is in the future"),
        (
            [
                "check",
                str(HEALTHY),
                "--released-at",
                "-2h",
                "--finished-at",
                "2125-06-03T09:00:00Z",
            ],
            "--finished-at 2125",
        ),
        (
            ["check", str(HEALTHY), "--released-at", "-2h", "--finished-at", "-3h"],
            "before it starts",
        ),
        (
            ["check", str(HEALTHY), "--released-at", "-2h", "--until", "2125-06-03T09:00:00Z"],
            "--until 2125",
        ),
        (
            ["check", str(HEALTHY), "--released-at", "-2h", "--until", "-3h"],
            "not after the release",
        ),
        (
            ["check", str(HEALTHY), "--released-at", "-2h", "--stage", "5%"],
            "--stage is '5%'; give a time and a share",
        ),
        (
            ["check", str(HEALTHY), "--released-at", "-2h", "--stage", "-1h=5"],
            "--stage is '-1h=5'; give a time and a share",
        ),
        (
            ["check", str(HEALTHY), "--released-at", "-2h", "--stage", "noon=5%"],
            "--stage: 'noon' is not a time",
        ),
        (
            [
                "check",
                str(HEALTHY),
                "--released-at",
                "-2h",
                "--stage",
                "-1h=5%",
                "--stage",
                "-30m=5%",
            ],
            "share of stage 2 is 0.05",
        ),
        (
            ["check", str(HEALTHY), "--released-at", "-2h", "--next-release", "noon=2"],
            "--next-release: 'noon' is not a time",
        ),
        (
            ["check", str(HEALTHY), "--released-at", "-2h", "--next-release", "-3h"],
            "not after this one",
        ),
        (
            ["check", str(HEALTHY), "--released-at", "-2h", "--only", "revenu"],
            "did you mean revenue?",
        ),
        (["check", str(HEALTHY), "--released-at", "-2h", "--output", "yaml"], "yaml"),
        (["check", str(HEALTHY), "--released-at", "-2h", "--environment", "staging"], "staging"),
        (["check", "nowhere.yaml", "--released-at", "-2h"], "nowhere.yaml"),
        (["explain", str(HEALTHY), "--released-at", "-2h"], "KPI"),
        (
            ["explain", str(HEALTHY), "churn", "--released-at", "-2h"],
            "'churn' is not a KPI of the checklist",
        ),
        (["validate", "nowhere.yaml"], "nowhere.yaml"),
        (["check", str(HEALTHY), "--released-at", "-2h", "--from", "nowhere.json"], "nowhere.json"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(words)
    out, err = capsys.readouterr()
    assert code == 2
    assert said in err
    assert out == ""
    assert "Traceback" not in err


def test_moments_may_be_relative_to_now() -> None:
    from anomaly.checklist.checklist import load

    release = release_of(load(HEALTHY), Words("-7h", "-410m", "2025.22"), NOW)
    expected = Release(
        datetime(2025, 6, 3, 9, tzinfo=UTC),
        datetime(2025, 6, 3, 9, 10, tzinfo=UTC),
        service="shop",
        version="2025.22",
        environment="production",
    )
    assert release == expected


def test_stages_and_the_next_release_may_be_planned() -> None:
    from anomaly.checklist.checklist import load

    words = Words(
        "-2h",
        stages=["-2h=5%", "-1h=0.25", "2025-06-03T20:00+02:00=100 %"],
        next_release="2025-06-04T09:00Z=2.3.1",
    )
    release = release_of(load(HEALTHY), words, NOW)
    times = [datetime(2025, 6, 3, hour, tzinfo=UTC) for hour in (14, 15, 18)]
    assert release.stages == tuple(zip(times, (0.05, 0.25, 1.0), strict=True))
    assert release.finished_at == times[-1]
    assert release.followed_by == Release(datetime(2025, 6, 4, 9, tzinfo=UTC), version="2.3.1")


def test_a_watch_may_be_ended_now_but_not_before_the_release() -> None:
    release = Release(datetime(2025, 6, 3, 9, tzinfo=UTC))
    assert end_of_watch(release, Words("-7h", until="now"), NOW) == NOW
    with pytest.raises(UsageError, match="not after the release"):
        end_of_watch(release, Words("-7h", until="-7h"), NOW)


def test_no_option_takes_a_secret() -> None:
    shown = "".join(
        path.read_text().lower() for path in (ROOT / "tests" / "golden" / "help").glob("*.txt")
    )
    assert shown
    assert not [word for word in ("token", "password", "secret", "credential") if word in shown]


# --- validate, init, schema ---------------------------------------------------------------------


def test_validate_says_what_a_right_checklist_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", str(HEALTHY)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"ok: {HEALTHY}: shop in production, 7 KPIs, 3 sources, 0 sinks")
    assert err == ""


def test_validate_names_every_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checklist = tmp_path / "checklist.yaml"
    checklist.write_text(
        HEALTHY.read_text()
        .replace("direction: up", "direction: upp")
        .replace("watch: 6h", "watch: soon")
    )
    assert run(["validate", str(checklist)]) == 2
    said = capsys.readouterr().err
    assert said.count("upp") >= 2
    assert "soon" in said


def test_validate_looks_at_every_address(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checklist = tmp_path / "checklist.yaml"
    checklist.write_text("""\
service: shop
sources:
  metrics: {type: prometheus, url: "htp://prometheus:9090"}
  logs:
    type: loki
    url: "http:///loki"
  shop: {type: sql, url: shop.example/orders}
kpis:
  - {name: orders, source: metrics, query: orders}
releases:
  - {type: json, url: "deploys.example/shop.json"}
sinks:
  - {type: slack, url: "https//hooks.example"}
on:
  fire:
    - {type: webhook, url: "http://flags.example:99999"}
""")
    assert run(["validate", str(checklist)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.removeprefix("error: ").replace(str(checklist), "").splitlines() == [
        ":3: sources.metrics.url starts with htp; use http or https",
        ":6: sources.logs.url names no host; write http://host/path",
        ":7: sources.shop.url is not a database's; write postgresql://user:password@host/name",
        ":11: releases[0].url starts with no scheme; use http or https",
        ":13: sinks[0].url starts with no scheme; use http or https",
        ":16: on.fire[0].url is not a URL; write https://host/path",
    ]


def test_probing_says_what_each_query_matches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["validate", "--probe", str(_recent(tmp_path, rows=10))]) == 0
    assert "orders: 1 series, 10 points since 20" in capsys.readouterr().out


def test_probing_a_query_that_matches_nothing_is_undecided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["validate", "--probe", str(_recent(tmp_path, rows=0))]) == 3
    assert "orders: no data" in capsys.readouterr().out


def test_probing_a_source_that_is_not_there_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checklist = _recent(tmp_path, rows=10)
    (tmp_path / "shop.csv").unlink()
    assert run(["validate", "--probe", str(checklist)]) == 4
    assert "orders: error: " in capsys.readouterr().out


def test_probing_asks_for_totals_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checklist = _recent(tmp_path, rows=10)
    rows = (tmp_path / "shop.csv").read_text().splitlines()[1:]
    long = [
        f"{row.split(',')[0]},{kpi},7,{country}"
        for row in rows
        for kpi, country in (("orders", "DE"), ("orders", "FR"), ("all", ""))
    ]
    (tmp_path / "shop.csv").write_text("\n".join(["time,kpi,value,country", *long]))
    text = checklist.read_text().replace("path: shop.csv", "path: shop.csv, layout: long")
    checklist.write_text(text.replace("query: orders", "query: orders, by: [country], total: all"))

    assert run(["validate", "--probe", str(checklist)]) == 0
    out = capsys.readouterr().out
    assert "orders: 2 series, 20 points" in out
    assert "total of orders: 1 series, 10 points" in out


def _recent(folder: Path, *, rows: int) -> Path:
    """A checklist over a file whose samples are of the last hour."""
    from datetime import timedelta

    now = datetime.now(UTC).replace(second=0, microsecond=0)
    stamps = [now - timedelta(minutes=now.minute % 5 + 10 + 5 * row) for row in range(rows)]
    (folder / "shop.csv").write_text(
        "time,orders\n" + "".join(f"{stamp.isoformat()},7\n" for stamp in reversed(stamps))
    )
    checklist = folder / "checklist.yaml"
    checklist.write_text(
        "service: shop\nsources: {shop: {type: files, path: shop.csv}}\nkpis: [{name: orders, "
        "query: orders}]\n"
    )
    return checklist


def test_init_writes_a_valid_checklist_and_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_URL", "https://localhost/")
    path = tmp_path / "mine.yaml"
    assert run(["init", str(path)]) == 0
    assert run(["validate", str(path)]) == 0
    path.write_text("mine")
    assert run(["init", str(path)]) == 2
    assert path.read_text() == "mine"


def test_init_says_where_it_can_not_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["init", str(tmp_path / "nowhere" / "checklist.yaml")]) == 2
    assert "nowhere/checklist.yaml can't be written" in capsys.readouterr().err


@pytest.mark.slow
def test_schema_is_json_that_a_right_checklist_satisfies(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import jsonschema
    import yaml

    assert run(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.validate(yaml.safe_load(HEALTHY.read_text()), schema)


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    import anomaly as package

    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"anomaly {package.__version__}\n"


# --- check and explain --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_healthy_release_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(HEALTHY), *RELEASED]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("PASS  ")
    assert err == ""


@pytest.mark.slow
def test_a_bad_release_fails_and_the_first_line_says_which_kpi_moved(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["check", str(CREDENTIAL), *RELEASED]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("FAIL  request errors (country=FR) ")
    assert err == ""


AS_JSON = (*RELEASED, "--release", "2025.22", "--output", "json")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str, str]:
    """A bad release judged live, its data kept in `kept.json.gz` and the source gone since: its
    folder, and what the check ended with, printed and logged."""
    folder = tmp_path_factory.mktemp("kept")
    for file in CREDENTIAL.parent.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        save = ("--save", str(folder / "kept.json.gz"))
        code = run(["check", str(folder / CREDENTIAL.name), *AS_JSON, *save])
    for file in folder.glob("*.csv"):
        file.unlink()
    return folder, code, out.getvalue(), err.getvalue()


@pytest.mark.slow
def test_json_is_one_document_and_quiet(kept: tuple[Path, int, str, str]) -> None:
    _, code, out, err = kept
    report = json.loads(out)
    assert (report["schema"], report["verdict"], report["final"]) == (1, "fail", True)
    assert report["release"]["version"] == "2025.22"
    assert (code, err) == (1, "")


@pytest.mark.slow
def test_one_kpi_may_be_judged_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(CREDENTIAL), *RELEASED, "--only", "revenue", "--output", "json"]) in (
        0,
        1,
    )
    assert {finding["kpi"] for finding in json.loads(capsys.readouterr().out)["findings"]} == {
        "revenue"
    }


@pytest.mark.slow
def test_kept_data_give_the_same_answer_after_the_source_is_gone(
    kept: tuple[Path, int, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _, live, _ = kept

    data = ("--from", str(folder / "kept.json.gz"))
    again = run(["check", str(folder / CREDENTIAL.name), *AS_JSON, *data])

    assert again == 1
    assert json.loads(capsys.readouterr().out)["findings"] == json.loads(live)["findings"]


@pytest.mark.slow
def test_an_early_look_is_one_still_when_it_is_judged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = str(tmp_path / "kept.json")
    with monkeypatch.context() as then:
        then.setattr(
            "anomaly.cli.judging.right_now", lambda: datetime(2025, 6, 3, 10, 17, tzinfo=UTC)
        )
        first = run(["check", str(HEALTHY), *QUICK, "--save", kept, "--output", "json"])
    live = json.loads(capsys.readouterr().out)

    again = run(["check", str(HEALTHY), *QUICK, "--from", kept, "--output", "json"])

    assert (first, again, live["final"]) == (3, 3, False)
    assert json.loads(capsys.readouterr().out)["findings"] == live["findings"]


@pytest.mark.slow
def test_data_that_can_not_be_kept_do_not_hide_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run(["check", str(HEALTHY), *QUICK, "--save", str(tmp_path / "nowhere" / "kept.json")]) == 2
    )
    out, err = capsys.readouterr()
    assert out.startswith("PASS  ")
    assert "kept.json: can't be written" in err


@pytest.mark.slow
def test_sinks_are_told_by_a_live_check_and_not_by_one_of_kept_data(tmp_path: Path) -> None:
    checklist, reports, kept = (
        _with_sink(tmp_path),
        tmp_path / "reports.jsonl",
        str(tmp_path / "kept.json"),
    )
    run(["check", str(checklist), *QUICK, "--save", kept])
    assert len(reports.read_text().splitlines()) == 1
    run(["check", str(checklist), *QUICK, "--from", kept])
    assert len(reports.read_text().splitlines()) == 1


@pytest.mark.slow
def test_the_json_says_what_became_of_the_messages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["check", str(_with_sink(tmp_path)), *QUICK, "--output", "json"])

    (delivery,) = json.loads(capsys.readouterr().out)["deliveries"]
    assert code == 0
    assert (delivery["sink"], delivery["delivered"]) == ("jsonl", True)


@pytest.mark.slow
def test_a_sink_that_can_not_be_told_ends_a_passed_check_with_5(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checklist = _with_sink(tmp_path)
    (tmp_path / "reports.jsonl").mkdir()
    assert run(["check", str(checklist), *QUICK]) == 5
    out, err = capsys.readouterr()
    assert out.startswith("PASS  ")
    assert "sink jsonl not delivered" in err


def _with_sink(folder: Path) -> Path:
    """The healthy release with a jsonl sink beside the checklist."""
    text = HEALTHY.read_text().replace("sinks: []", "sinks: [{type: jsonl, path: reports.jsonl}]")
    for file in HEALTHY.parent.glob("*.csv"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "checklist.yaml").write_text(text)
    return folder / "checklist.yaml"


@pytest.mark.slow
def test_explain_shows_what_led_to_the_verdict_in_80_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["explain", str(CREDENTIAL), "request errors", *RELEASED]) == 0
    out = capsys.readouterr().out
    assert "request errors (country=FR): regressed" in out
    assert "request errors (country=DE): ok" in out
    assert all(
        word in out
        for word in (
            "reason",
            "since",
            "next",
            "required",
            "detectable",
            "query",
            "baseline",
            "outside",
        )
    )
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.slow
def test_explain_of_a_kpi_with_many_series_shows_those_that_matter_most(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("anomaly.cli.explain.MOST_SERIES", 2)

    assert run(["explain", str(CREDENTIAL), "request errors", *RELEASED]) == 0

    out = capsys.readouterr().out
    heads = [line for line in out.splitlines() if line.startswith("request errors (")]
    assert heads == ["request errors (country=FR): regressed", "request errors (all): regressed"]
    assert out.endswith(
        "… and 2 more of request errors:\n  anomaly check --output json has them all\n"
    )


# --- how it ends --------------------------------------------------------------------------------


def with_a_sink(folder: Path) -> Path:
    """The checklist of a release that fails, with a sink."""
    shutil.copytree(CREDENTIAL.parent, folder / "credential")
    checklist = folder / "credential" / CREDENTIAL.name
    text = checklist.read_text(encoding="utf-8")
    told = text.replace("sinks: []", "sinks: [{type: jsonl, path: told.jsonl}]")
    assert told != text
    checklist.write_text(told, encoding="utf-8")
    return checklist


def boom(*_args: object, **_kwargs: object) -> None:
    raise RuntimeError("boom")


STAGES = {
    "load": "anomaly.cli.release.load",
    "registry": "anomaly.checklist.registry.collector",
    "collect": "anomaly.collectors.files.FilesCollector.collect",
    "pipeline": "anomaly.partials.gathering.collect_window",
    "baseline": "anomaly.baseline.seasonal.SeasonalBaseline.fit",
    "scoring": "anomaly.pipeline.check_release",
    "decision": "anomaly.partials.conclusion.verdict",
    "report": "anomaly.reporting.words.headline",
    "output": "anomaly.sinks.console.show",
    "delivery": "anomaly.notify.delivery.deliver",
}


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_an_unexpected_exception_at_any_stage_ends_with_4(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checklist = with_a_sink(tmp_path)
    monkeypatch.setattr(STAGES[stage], boom)
    assert run(["check", str(checklist), *QUICK]) == 4
    out, err = capsys.readouterr()
    assert any(word in out + err for word in ("boom", "crashed"))
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "leave", [SystemExit(0), SystemExit(1), KeyboardInterrupt(), MemoryError()]
)
def test_nothing_that_a_stage_raises_reads_as_a_verdict(
    leave: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_it(*_args: object, **_kwargs: object) -> None:
        raise leave

    monkeypatch.setattr("anomaly.pipeline.check_release", raise_it)
    assert run(["check", str(HEALTHY), *QUICK]) == 4


@pytest.mark.slow
def test_a_sink_that_crashes_ends_with_5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anomaly.sinks.jsonl.JsonlSink.send", boom)
    assert run(["check", str(_with_sink(tmp_path)), *QUICK]) == 5


@pytest.mark.parametrize("words", [["-v", "check"], ["check", "-v"]])
def test_a_traceback_is_shown_when_asked_for(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("anomaly.cli.release.load", boom)
    assert run([*words, str(HEALTHY), *QUICK]) == 4
    assert "Traceback" in capsys.readouterr().err


def test_log_lines_may_be_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("anomaly.cli.release.load", boom)
    assert run(["-v", "check", str(HEALTHY), *QUICK, "--log-format", "json"]) == 4
    entries = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert entries[-1]["level"] == "error"
    assert "boom" in entries[-1]["message"]
    assert "Traceback" in entries[-1]["exception"]


def test_secrets_of_the_checklist_are_masked_in_errors_and_tracebacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checklist = tmp_path / "checklist.yaml"
    checklist.write_text(
        HEALTHY.read_text().replace(
            "sinks: []",
            'sinks: [{type: webhook, url: "http://127.0.0.1:9/", secret: "${HOOK_SECRET}"}]',
        )
    )
    monkeypatch.setenv("HOOK_SECRET", "planted-canary-7")

    def leak(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("it was planted-canary-7")

    monkeypatch.setattr("anomaly.partials.gathering.collect_window", leak)
    assert run(["-v", "check", str(checklist), *QUICK]) == 4
    err = capsys.readouterr().err
    assert "it was ***" in err
    assert "info: read " in err
    assert "planted-canary-7" not in err


@pytest.mark.slow
def test_alerts_are_sent_even_if_nobody_reads_the_answer(tmp_path: Path) -> None:
    checklist = _with_sink(tmp_path)
    line = f"exec {sys.executable} -m anomaly check {checklist} {shlex.join(QUICK)} >&-"
    done = subprocess.run(
        ["/bin/sh", "-c", line], check=False, capture_output=True, text=True, timeout=100, cwd=ROOT
    )
    assert done.returncode == 4
    assert "standard output is closed" in done.stderr
    assert len((tmp_path / "reports.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_an_answer_that_reaches_nobody_is_a_failure(redirection: str, tmp_path: Path) -> None:
    command = f"history --store {tmp_path / 'history.db'}"
    line = f"{sys.executable} -m anomaly {command} {redirection}; echo ${{PIPESTATUS[0]}} >&2"
    done = subprocess.run(
        ["/bin/bash", "-c", line], check=False, capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.stderr.splitlines()[-1] == "4"
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["schema", "--help", "schema --help"])
def test_a_reader_who_leaves_early_is_no_failure(arguments: str) -> None:
    line = f"{sys.executable} -m anomaly {arguments} | true; echo ${{PIPESTATUS[0]}} >&2"
    done = subprocess.run(
        ["/bin/bash", "-c", line], check=False, capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.stderr == "0\n"


@pytest.mark.slow
def test_a_reader_who_leaves_early_changes_no_verdict() -> None:
    line = (
        f"{sys.executable} -m anomaly check {CREDENTIAL} {shlex.join(QUICK)} | true; "
        "echo ${PIPESTATUS[0]} >&2"
    )
    done = subprocess.run(
        ["/bin/bash", "-c", line], check=False, capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert done.stderr == "1\n"


@pytest.mark.slow
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_an_error_that_nobody_reads_keeps_its_exit_code(redirection: str) -> None:
    line = f"exec {sys.executable} -m anomaly install cron nowhere.yaml {redirection}"
    assert (
        subprocess.run(["/bin/sh", "-c", line], check=False, timeout=60, cwd=ROOT).returncode == 2
    )


def test_a_broken_installation_ends_with_4() -> None:
    code = (
        "import sys; sys.modules['typer'] = None; from anomaly.__main__ import main; "
        "sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "check"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == 4
    assert done.stderr.startswith("error: anomaly could not start: ")
    assert "Traceback" not in done.stderr


SIGNALLED = """
import os, threading, time
import anomaly.notify.delivery, anomaly.partials.gathering
def wait(*args, **kwargs):
    os.kill(os.getpid(), {number})
    {wait}
anomaly.{stage} = wait
"""
COLLECTING = "partials.gathering.collect_window"
SLEEP = "time.sleep(60)"
STUBBORN = (
    "t = threading.Thread(target=time.sleep, args=(60,)); t.start()\n"
    "    while True:\n        t.join()"
)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_the_verdict_leaves_it_undecided(number: signal.Signals) -> None:
    assert _ended_by(number, HEALTHY) == (3, f"error: stopped by {number.name}\n")


@pytest.mark.slow
def test_a_signal_after_the_verdict_keeps_it(tmp_path: Path) -> None:
    code, _ = _ended_by(signal.SIGTERM, with_a_sink(tmp_path), stage="notify.delivery.deliver")
    assert code == 1


@pytest.mark.slow
def test_a_signal_ends_a_run_whose_threads_do_not_end() -> None:
    code, _ = _ended_by(signal.SIGTERM, HEALTHY, wait=STUBBORN)
    assert code == 3


def _ended_by(
    number: signal.Signals, checklist: Path, *, stage: str = COLLECTING, wait: str = SLEEP
) -> tuple[int, str]:
    """The exit code and stderr of a check that gets a signal at a stage, and would wait there."""
    first = SIGNALLED.format(number=int(number), stage=stage, wait=wait)
    done = command.anomaly(["check", checklist, *QUICK], environ=os.environ, first=first)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("code", "as_job"), [(0, 0), (1, 1), (2, 2), (3, 0), (4, 4), (5, 0), (6, 0)]
)
def test_a_job_is_not_failed_by_what_is_undecided(
    code: int, as_job: int, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Session(verbose=False)
    session.exit_code = ExitCode(code)
    with session.logging():
        assert session.code_for(ExitCodes.ALL) == code
        assert session.code_for(ExitCodes.JOB) == as_job
    assert ("--exit-codes job" in capsys.readouterr().err) is (code != as_job)


@pytest.mark.slow
def test_an_early_look_does_not_fail_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["check", str(HEALTHY), *QUICK, "--until", "2025-06-03T09:40Z"]
    assert run(line) == ExitCode.UNDECIDED
    assert run([*line, "--exit-codes", "job"]) == ExitCode.PASS
    assert "warning: undecided; exits with 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("check x.yaml --output yaml", "--output is 'yaml'; use one of table, json"),
        ("--log-format xml demo", "--log-format is 'xml'; use one of text, json"),
        ("check x.yaml --exit-codes jobs", "--exit-codes is 'jobs'; use one of all, job"),
        ("check x.yaml --jobs two", "--jobs is 'two'; it must be a whole number"),
        ("check x.yaml --jobs 0", "--jobs is '0'; it must be at least 1"),
    ],
)
def test_a_value_that_an_option_does_not_take_is_told_with_what_it_takes(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments.split()) == 2
    assert capsys.readouterr().err.splitlines()[0] == f"error: {said}"
