from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from anomaly.contracts import Message
from anomaly.errors import SinkError
from anomaly.sinks.json_file import JsonSink
from anomaly.sinks.jsonl import JsonlSink
from tests.support import reports

FAILING, PASSING = Message("k1", reports.failing()), Message("k1", reports.passing())


def test_the_json_file_holds_the_latest_report(tmp_path: Path) -> None:
    sink = JsonSink(path=tmp_path / "report.json")
    sink.send(FAILING)
    receipt = sink.send(PASSING)
    data = json.loads((tmp_path / "report.json").read_text())
    assert (data["verdict"], data["key"], receipt.delivered) == ("pass", "k1", True)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize("path", [None, Path("-")])
def test_without_a_path_the_json_goes_to_standard_output(path: Path | None) -> None:
    stream = io.StringIO()
    JsonSink(path=path, stream=stream).send(FAILING)
    assert json.loads(stream.getvalue())["verdict"] == "fail"


def test_a_failed_write_leaves_the_former_report_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    JsonSink(path=path).send(PASSING)
    former = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SinkError, match="No space left on device"):
        JsonSink(path=path).send(FAILING)
    assert path.read_bytes() == former
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_a_reader_never_sees_half_a_report(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    sink, done, seen = JsonSink(path=path), threading.Event(), set()
    sink.send(PASSING)

    def write() -> None:
        for message in [FAILING, PASSING] * 20:
            sink.send(message)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        seen.add(json.loads(path.read_text())["verdict"])
    writer.join()
    assert seen <= {"pass", "fail"}


def test_a_device_or_a_fifo_is_not_replaced(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(SinkError, match="not a regular file"):
        JsonSink(path=fifo).send(FAILING)
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_link_is_followed_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    JsonSink(path=tmp_path / "link.json").send(FAILING)
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text())["verdict"] == "fail"


@pytest.mark.parametrize("kind", [JsonSink, JsonlSink])
def test_a_missing_folder_is_named(kind: type[JsonSink | JsonlSink], tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"nowhere/report: No such file or directory"):
        kind(path=tmp_path / "nowhere" / "report").send(FAILING)


def test_each_message_is_a_line(tmp_path: Path) -> None:
    sink = JsonlSink(path=tmp_path / "reports.jsonl")
    sink.send(FAILING)
    sink.send(PASSING)
    lines = (tmp_path / "reports.jsonl").read_text().splitlines()
    assert [json.loads(line)["verdict"] for line in lines] == ["fail", "pass"]


@pytest.mark.slow
@pytest.mark.parametrize("text", reports.HOSTILE)
def test_hostile_text_stays_within_its_line(text: str, tmp_path: Path) -> None:
    JsonlSink(path=tmp_path / "reports.jsonl").send(Message("k", reports.hostile(text)))
    lines = (tmp_path / "reports.jsonl").read_text().splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0])["findings"][0]["kpi"] == text


APPEND = """
import sys
from pathlib import Path
from anomaly.sinks.jsonl import _append
for _ in range(50):
    _append(Path(sys.argv[1]), sys.argv[2].encode() * 20_000 + b"\\n")
"""


@pytest.mark.slow
def test_lines_of_processes_that_append_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "reports.jsonl"
    writers = [
        subprocess.Popen([sys.executable, "-c", APPEND, str(path), letter]) for letter in "abcd"
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    lines = path.read_text().splitlines()
    assert sorted(lines) == [letter * 20_000 for letter in "abcd" for _ in range(50)]


def test_a_torn_line_of_another_writer_is_closed_first(tmp_path: Path) -> None:
    path = tmp_path / "reports.jsonl"
    path.write_text('{"torn": ')
    JsonlSink(path=path).send(FAILING)
    torn, whole = path.read_text().splitlines()
    assert torn == '{"torn": '
    assert json.loads(whole)["key"] == "k1"


def test_a_line_that_could_not_be_written_whole_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "reports.jsonl"
    JsonlSink(path=path).send(FAILING)
    former, write = path.read_bytes(), os.write

    def full_after_a_few_bytes(descriptor: int, data: bytes) -> int:
        if len(data) < 100 or path.stat().st_size == len(former):
            return write(descriptor, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full_after_a_few_bytes)
    with pytest.raises(SinkError, match="No space left on device"):
        JsonlSink(path=path).send(PASSING)
    assert path.read_bytes() == former
