"""A server that demands a client's certificate, and the mistakes one can make with certificates and
keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from anomaly.collectors.prometheus import PrometheusCollector
from anomaly.errors import UsageError
from anomaly.model import Kpi, Window
from tests.support.servers import TLS, Server, prometheus

START = datetime(2025, 3, 3, tzinfo=UTC)
HOUR, STEP = Window(START, START + timedelta(hours=1)), timedelta(minutes=5)
KPI = Kpi("depth", query="queue_depth")


@pytest.fixture(scope="module")
def server(loopback: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    samples = {"queue_depth": [(START.timestamp() + 60 * minute, 7.0) for minute in range(60)]}
    with prometheus(tmp_path_factory.mktemp("prometheus"), samples, mutual_tls=True) as running:
        yield running


def part(name: str, kind: str, folder: Path) -> Path:
    """The `PRIVATE KEY` or the `CERTIFICATE` of a file that holds both, in a file of its own."""
    text = (TLS / name).read_text()
    begin, end = (f"-----{word} {kind}-----" for word in ("BEGIN", "END"))
    path = folder / f"{name}.{kind.partition(' ')[0].lower()}"
    path.write_text(f"{begin}{text.partition(begin)[2].partition(end)[0]}{end}\n")
    path.chmod(0o600)
    return path


def said(server: Server, **settings: Any) -> str:
    """What is wrong with the answer; empty if there is one with all samples."""
    collector = PrometheusCollector(
        url=server.url, ca_file=TLS / "authority.pem", sleep=lambda _: None, **settings
    )
    collected = collector.collect([KPI], HOUR, STEP)
    return (
        str(collected.errors["depth"])
        if collected.errors
        else str(int(collected.panel.isna().sum().sum()) or "")
    )


@pytest.mark.slow
def test_with_the_right_certificate_it_answers(server: Server, tmp_path: Path) -> None:
    assert said(server, cert_file=TLS / "client.pem") == ""
    pair = {
        "cert_file": part("client.pem", "CERTIFICATE", tmp_path),
        "key_file": part("client.pem", "PRIVATE KEY", tmp_path),
    }
    assert said(server, **pair) == ""


@pytest.mark.parametrize(
    "settings", [{}, {"cert_file": TLS / "stranger.pem"}], ids=["none", "a stranger's"]
)
def test_without_or_with_another_it_does_not_and_that_is_said(
    server: Server, settings: Mapping[str, Path]
) -> None:
    text = said(server, **settings)
    assert text.startswith("unavailable: ")
    assert "cert_file" in text


def test_a_certificate_is_renewed_in_place_and_one_that_is_gone_is_said(
    server: Server, tmp_path: Path
) -> None:
    file = Path(shutil.copy(TLS / "stranger.pem", tmp_path / "client.pem"))
    collector = PrometheusCollector(
        url=server.url, ca_file=TLS / "authority.pem", cert_file=file, sleep=lambda _: None
    )
    assert collector.collect([KPI], HOUR, STEP).errors
    shutil.copy(TLS / "client.pem", file)
    assert not collector.collect([KPI], HOUR, STEP).errors
    file.unlink()
    assert "can't be read any more" in str(collector.collect([KPI], HOUR, STEP).errors["depth"])


def test_it_opens_from_a_checklist_with_paths_from_its_folder(
    server: Server, tmp_path: Path
) -> None:
    from anomaly.checklist import registry

    for name in ("authority.pem", "client.pem"):
        shutil.copy(TLS / name, tmp_path)
    settings = {"url": server.url, "ca_file": "authority.pem", "cert_file": "client.pem"}
    collector = registry.collector(registry.Plugin("prometheus", settings, folder=tmp_path))
    assert not collector.collect([KPI], HOUR, STEP).errors


def _paths(files: Mapping[str, str]) -> dict[str, Any]:
    return {name: TLS / file for name, file in files.items()}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"cert_file": "nowhere.pem"}, r"cert_file .*nowhere\.pem does not exist"),
        (
            {"cert_file": "client.pem", "key_file": "nowhere.pem"},
            r"key_file .*nowhere\.pem does not exist",
        ),
        ({"key_file": "client.pem"}, "key_file is given without cert_file"),
        ({"cert_file": "client.pem", "key_file": "stranger.pem"}, "do not belong together"),
        (
            {"cert_file": "clients.pem"},
            "without key_file can't be used; both certificate and key must be there",
        ),
        (
            {"cert_file": "README.md", "key_file": "client.pem"},
            "can't be used; both certificate and key must be there",
        ),
    ],
)
def test_mistakes_are_found_at_the_door(settings: Mapping[str, str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        PrometheusCollector(url="https://127.0.0.1:9", **_paths(settings))


def test_a_key_with_a_passphrase_is_refused_without_a_question() -> None:
    with pytest.raises(UsageError, match="without a passphrase"):
        PrometheusCollector(
            url="https://127.0.0.1:9", cert_file=TLS / "client.pem", key_file=TLS / "locked.pem"
        )


def test_a_certificate_without_tls_is_refused() -> None:
    with pytest.raises(UsageError, match="url is not https"):
        PrometheusCollector(url="http://127.0.0.1:9", cert_file=TLS / "client.pem")


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o644, True)])
def test_a_key_that_everyone_can_read_is_warned_of(
    mode: int, *, warned: bool, alone: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = (
        Path(shutil.copy(TLS / "client.pem", tmp_path))
        if alone
        else part("client.pem", "PRIVATE KEY", tmp_path)
    )
    key.chmod(mode)
    settings: dict[str, Any] = (
        {"cert_file": key} if alone else {"cert_file": TLS / "client.pem", "key_file": key}
    )
    PrometheusCollector(url="https://127.0.0.1:9", **settings)
    assert ("can be read by everyone" in caplog.text) == warned
