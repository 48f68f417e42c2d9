"""What `anomaly install` prints is what cron, systemd and Kubernetes take, and runs what it
says."""

from __future__ import annotations

import shlex
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from anomaly.cli.ending import run
from anomaly.cli.exit_codes import ExitCode
from anomaly.errors import UsageError
from anomaly.setup import install
from anomaly.setup.crontab import escaped
from anomaly.setup.install import EVERY, Job
from tests.support import kubernetes, servers

CHECKLIST = """\
service: shop
sources: {shop: {type: prometheus, url: "${PROMETHEUS_URL}", headers: {X-Token: "${SHOP_TOKEN}"}}}
kpis: [{name: orders, query: orders}]
"""
AWKWARD = r"""a 100\% $HOME "it's" folder"""
KINDS = {"CronJob": "batch", "ConfigMap": "core", "PersistentVolumeClaim": "core"}
MINUTE = timedelta(minutes=1)


def job(folder: Path, **more: Any) -> Job:
    """A job in a folder of an awkward name, whose program writes its arguments and a variable to
    `told`."""
    home = folder / AWKWARD
    home.mkdir(exist_ok=True)
    program = home / "anomaly"
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$SHOP_TOKEN" "$@" > {folder}/new && mv {folder}/new '
        f"{folder}/told\n"
    )
    program.chmod(0o755)
    values: dict[str, Any] = {
        "checklist": home / "shop.yaml",
        "text": CHECKLIST,
        "service": "shop",
        "program": (str(program),),
    }
    return Job(**(values | more))


def told(folder: Path) -> list[str]:
    give_up = time.monotonic() + 60
    while not (folder / "told").exists() and time.monotonic() < give_up:
        time.sleep(0.02)
    return (folder / "told").read_text().splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("user", ["", "root"])
def test_the_real_cron_runs_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setattr(install, "ENV_FILE", tmp_path / "env")
    (tmp_path / "env").write_text("SHOP_TOKEN='s3cret $x'\n")
    made = job(tmp_path, every=MINUTE, variables=("SHOP_TOKEN",), environment="the 1st")
    crontab = install.cron(made, user) + "\n"
    if user:
        (tmp_path / "cron.d").mkdir()
        (tmp_path / "cron.d" / made.name).write_text(crontab)

    with servers.cron(tmp_path, "" if user else crontab, speed=120):
        assert told(tmp_path) == [
            "s3cret $x",
            "tick",
            str(made.checklist),
            "--environment",
            "the 1st",
        ]


@pytest.mark.slow
@pytest.mark.parametrize("every", EVERY, ids=str)
def test_cron_and_systemd_know_every_interval(tmp_path: Path, every: timedelta) -> None:
    made = job(tmp_path, every=every)
    table = tmp_path / "table"
    table.write_text(install.cron(made) + "\n")
    checked = _run(*servers.with_own_crontabs(tmp_path, [servers.need("crontab"), "-n", table]))
    assert checked.returncode == 0, checked.stderr

    timer = install.systemd(made, "anomaly")["anomaly-shop.timer"]
    (when,) = [
        line.partition("=")[2] for line in timer.splitlines() if line.startswith("OnCalendar")
    ]
    question = ["calendar", "--iterations=3", "--base-time=2025-06-03 00:00:00 UTC", when]
    answer = _run(servers.need("systemd-analyze"), *question, TZ="UTC").stdout
    fired = [
        line.partition(": ")[2]
        for line in answer.splitlines()
        if "Next elapse" in line or "Iter." in line
    ]
    midnight = [
        timedelta(days=int(day) - 3) + _clock(clock)
        for _, _, day, clock in (_moment(each) for each in fired)
    ]
    assert midnight == [every, 2 * every, 3 * every]


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [{}, {"program": ("/bin/sh", "-m", "anomaly")}], ids=["awkward", "plain"]
)
def test_systemd_finds_nothing_to_complain_of(tmp_path: Path, more: dict[str, Any]) -> None:
    made = job(
        tmp_path,
        environment="$the 1st",
        variables=("SHOP_TOKEN",),
        writes=(tmp_path / AWKWARD,),
        **more,
    )
    for name, text in install.systemd(made, "root").items():
        (tmp_path / name).write_text(text + "\n")
    analyze = servers.need("systemd-analyze")

    checked = _run(
        analyze,
        "verify",
        "--man=no",
        tmp_path / f"{made.name}.service",
        tmp_path / f"{made.name}.timer",
    )
    assert (checked.returncode, checked.stderr) == (0, "")

    (tmp_path / f"{made.name}.service").write_text(
        install.systemd(job(tmp_path), "anomaly")["anomaly-shop.service"].replace(
            "StateDir", "StaetDir"
        )
    )
    assert (
        "Unknown key"
        in _run(analyze, "verify", "--man=no", tmp_path / f"{made.name}.service").stderr
    )


def test_systemd_calls_the_service_well_enclosed(tmp_path: Path) -> None:
    unit = tmp_path / "anomaly-shop.service"
    unit.write_text(install.systemd(job(tmp_path), "anomaly")[unit.name])
    answer = _run(servers.need("systemd-analyze"), "security", "--offline=true", unit).stdout
    level = next(line for line in answer.splitlines() if "Overall exposure level" in line)
    assert float(level.rpartition("service: ")[2].split()[0]) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("store", ["", "history.db", "postgresql://db/anomaly", "${DATABASE_URL}"])
def test_kubernetes_takes_the_objects(tmp_path: Path, store: str) -> None:
    names = ("PROMETHEUS_URL", "SHOP_TOKEN")
    made = job(
        tmp_path,
        store=store,
        variables=names,
        environment="production",
        text=CHECKLIST + "# é, a tab\there  \n",
    )
    written = install.kubernetes(made, "registry.example/anomaly:0.1.0")
    objects = list(yaml.safe_load_all(written))

    for each in objects:
        kind = each["kind"]
        assert kubernetes.refusal(each, f"{KINDS[kind]}.v1.{kind}") == ""
        assert each["metadata"]["name"] == "anomaly-shop-production"
    by_kind = {each["kind"]: each for each in objects}
    assert by_kind["ConfigMap"]["data"] == {"checklist.yaml": made.text}
    assert ("PersistentVolumeClaim" in by_kind) == (store in ("", "history.db"))
    spec = by_kind["CronJob"]["spec"]
    assert (spec["schedule"], spec["concurrencyPolicy"]) == ("*/5 * * * *", "Forbid")
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][2:] == [
        "/etc/anomaly/checklist.yaml",
        "--environment",
        "production",
    ]
    secrets = {
        each["name"]: each["valueFrom"]["secretKeyRef"]["key"]
        for each in container["env"]
        if "valueFrom" in each
    }
    assert secrets == {name: name for name in names}
    assert {each["name"] for each in container["volumeMounts"]} == {
        each["name"] for each in pod["volumes"]
    }


@pytest.mark.slow
def test_the_schema_would_find_a_slip(tmp_path: Path) -> None:
    cron_job = list(yaml.safe_load_all(install.kubernetes(job(tmp_path), "image")))[-1]
    cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    assert "volumeMount" in kubernetes.refusal(cron_job, "batch.v1.CronJob")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            {"every": 7 * MINUTE},
            "can't run something every 7m evenly; use one of 1m, 2m, 3m, 4m, 5m",
        ),
        ({"every": timedelta(seconds=30)}, "every 30s evenly"),
        ({"checklist": Path("/etc/a\n* * * * * root evil")}, "has line ends or control characters"),
        ({"environment": "x\ny"}, "has line ends or control characters"),
    ],
)
def test_what_cannot_be_said_is_refused(tmp_path: Path, more: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        job(tmp_path, **more)


def test_foreign_text_stays_in_its_comment(tmp_path: Path) -> None:
    made = job(tmp_path, service="shop\n* * * * * evil\n[Service]")
    texts = [
        install.cron(made),
        *install.systemd(made, "anomaly").values(),
        install.kubernetes(made, "image"),
    ]
    assert not any(
        line.startswith("* * * * * evil") for text in texts for line in text.splitlines()
    )
    with pytest.raises(UsageError, match="is not a user name"):
        install.cron(made, "root evil")


def test_the_commands_print_and_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("shop.yaml").write_text(CHECKLIST)
    monkeypatch.setenv("PROMETHEUS_URL", "http://prometheus:9090")
    monkeypatch.setenv("SHOP_TOKEN", "s3cret-of-the-shop")

    assert run(["install", "cron", "shop.yaml", "--every=10m"]) == ExitCode.PASS
    printed = capsys.readouterr().out
    words = shlex.split(printed.splitlines()[-1])
    assert words[:5] == ["*/10", "*", "*", "*", "*"]
    assert words[words.index("tick") + 1] == str(tmp_path / "shop.yaml")
    assert Path(words[words.index("tick") - 1]).is_absolute()
    assert "PROMETHEUS_URL, SHOP_TOKEN" in printed

    assert run(["install", "systemd", "shop.yaml", "--into=."]) == ExitCode.PASS
    assert "systemctl enable --now anomaly-shop.timer" in capsys.readouterr().out
    assert {each.name for each in tmp_path.iterdir()} == {
        "shop.yaml",
        "anomaly-shop.service",
        "anomaly-shop.timer",
    }
    assert run(["install", "systemd", "shop.yaml", "--into=nowhere"]) == ExitCode.USAGE
    assert "--into nowhere: No such file" in capsys.readouterr().err

    assert run(["install", "kubernetes", "shop.yaml", "--image=anomaly:1"]) == ExitCode.PASS
    everything = capsys.readouterr().out + "".join(each.read_text() for each in tmp_path.iterdir())
    assert "s3cret-of-the-shop" not in everything


def test_a_checklist_is_checked_where_its_variables_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(CHECKLIST.replace("orders}", "orders, direction: upp}"))
    for name in ("PROMETHEUS_URL", "SHOP_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    assert run(["install", "cron", str(path)]) == ExitCode.PASS
    assert (
        "not checked, because PROMETHEUS_URL, SHOP_TOKEN is not set here" in capsys.readouterr().err
    )

    monkeypatch.setenv("PROMETHEUS_URL", "http://prometheus:9090")
    monkeypatch.setenv("SHOP_TOKEN", "s3cret-of-the-shop")
    assert run(["install", "cron", str(path)]) == ExitCode.USAGE
    assert "shop.yaml:3: kpis[0].direction is 'upp'" in capsys.readouterr().err


def test_what_is_no_checklist_crashes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "shop.yaml"
    for text in (
        "- 5",
        "sinks: 5\nkpis: ${NOT_SET}",
        "environments: {a: 5}\nenvironment: a\nstore: [1]",
    ):
        path.write_text(text)
        assert run(["install", "systemd", str(path)]) in (ExitCode.USAGE, ExitCode.PASS)
        assert "anomaly itself failed" not in capsys.readouterr().err


def test_systemd_lets_history_and_sinks_write_where_the_checklist_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(
        "service: shop\nsources: {shop: {type: files, path: shop.csv}}\nkpis: [{name: orders, "
        "query: orders}]\n"
    )
    path.write_text(
        path.read_text() + "store: state/history.db\nsinks: [{type: jsonl, path: /srv/out.jsonl}]\n"
    )
    assert run(["install", "systemd", str(path), "--user=watcher"]) == ExitCode.PASS
    printed = capsys.readouterr().out
    assert "User=watcher\n" in printed
    assert f"ReadWritePaths=/srv {tmp_path}/state\n" in printed


def _run(*line: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
    return subprocess.run(line, capture_output=True, text=True, check=False, env=path | environ)


def _moment(text: str) -> tuple[str, str, str, str]:
    """Year, month, day and clock of `Tue 2025-06-03 00:05:00 UTC`."""
    _, date, clock, _ = text.split()
    year, month, day = date.split("-")
    return year, month, day, clock


def _clock(text: str) -> timedelta:
    hours, minutes, seconds = map(int, text.split(":"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029", "\ufeff", "\r\n", "\n"])
def test_a_checklist_with_other_line_ends_stays_as_it_is(tmp_path: Path, end: str) -> None:
    text = f"service: shop  # a{end}b\nkpis: []\n"

    config = next(yaml.safe_load_all(install.kubernetes(job(tmp_path, text=text), "anomaly:1")))

    assert config["data"]["checklist.yaml"] == text


def test_names_without_ascii_letters_differ(tmp_path: Path) -> None:
    services = ("магазин", "商店", "shop", "shop магазин", "s" * 80, "s" * 81)

    names = [job(tmp_path, service=service).name for service in services]

    assert len({*names}) == len(services)
    assert names[2] == "anomaly-shop"
    for name in names:
        assert install.NOT_IN_A_NAME.sub("-", name) == name
        assert len(name) <= install.LONGEST_NAME


def as_cron_reads(line: str, *, reads_pairs: bool) -> str:
    """A command as cron takes it: up to a `%`, `\\%` as `%`; some read `\\\\` as a backslash."""
    out, after_backslash = "", False
    for sign in line:
        if after_backslash:
            out = out[:-1] if sign == "%" or (sign == "\\" and reads_pairs) else out
        elif sign == "%":
            break
        out += sign
        after_backslash = sign == "\\" and not after_backslash
    return out


@pytest.mark.parametrize("reads_pairs", [False, True])
@pytest.mark.parametrize("word", [r"a\%b", r"a\\%b", r"\\\%%", r"it's \% 'and' \\", "100%", "a\\"])
def test_cron_gets_the_path_as_it_is(word: str, *, reads_pairs: bool) -> None:
    line = escaped(shlex.join(["tick", word]))

    assert shlex.split(as_cron_reads(line, reads_pairs=reads_pairs)) == ["tick", word]


def test_a_backslash_before_a_percent_sign_outside_of_quotes_is_refused() -> None:
    with pytest.raises(UsageError, match="not every cron reads alike"):
        escaped(r"date +\%F")


def test_a_checklist_without_a_sink_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "shop.yaml"
    text = (
        "service: shop\nsources: {shop: {type: files, path: shop.csv}}\n"
        "kpis: [{name: orders, query: orders}]\n"
    )
    path.write_text(text)
    assert run(["install", "cron", str(path)]) == 0
    assert "lists no sinks, so nobody is told" in capsys.readouterr().err
    path.write_text(f"{text}sinks: [{{type: jsonl, path: told.jsonl}}]\n")
    assert run(["install", "cron", str(path)]) == 0
    assert capsys.readouterr().err == ""
