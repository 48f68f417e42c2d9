"""Data for the conformance suites, and places where a plug-in under test finds them.

A line of a suite names how its plug-in is set up: it takes a `Place`, lets it write or serve the
data in some form, and returns an `Example`.
"""

from __future__ import annotations

import csv
import json
import math
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from anomaly.model import Window
from tests.support import elasticsearch, flags
from tests.support.loopback import Loopback, Request
from tests.support.scripted import matrix
from tests.support.servers import free_port

SECRET = "c4nary-s3cret"
START = datetime(2025, 6, 3, 6, tzinfo=UTC)
STEP = timedelta(minutes=30)
WINDOW = Window(START, START + 12 * STEP)

MOMENTS = tuple(START + row * STEP for row in range(-4, 16))  # some before and after the window
Series = Mapping[datetime, float]
SERIES: Mapping[str, Series] = {
    "orders": {at: 10.0 + row for row, at in enumerate(MOMENTS)},
    "gappy": {at: 0.5 * row for row, at in enumerate(MOMENTS) if row % 3},
    "single": {START + 5 * STEP: 7.0},
    "unmeasured": dict.fromkeys(MOMENTS, math.nan),
}
RELEASES: Mapping[str, datetime] = {
    "1.0": START - 4 * STEP,
    "2.0": WINDOW.start,
    "3.0": START + 5 * STEP,
    "4.0": WINDOW.end,
}

Answer = Callable[[Request], tuple[int, str]]


class State(Enum):
    """What a place holds: the data, nothing at all, or times that lack their zone."""

    WHOLE = "whole"
    GONE = "gone"
    WITHOUT_ZONES = "without zones"


@dataclass(frozen=True)
class Example:
    """How a plug-in is set up: its settings, with `SECRET` in each that may hold one, and
    `outside`, what its class is given besides.

    For a collector, `query` makes the query of a series and `refused` is one that the source
    refuses. For a release source, `versions` are those that it can know of.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    outside: Mapping[str, Any] = field(default_factory=dict)
    query: Callable[[str], str] = str
    refused: str = "no such series"
    versions: tuple[str, ...] = tuple(RELEASES)


@dataclass(frozen=True)
class Place:
    """Writes the data to files in `folder`, or serves them until `running` ends."""

    folder: Path
    running: ExitStack
    state: State = State.WHOLE

    def file(self, name: str, text: str) -> str:
        """The path of a file with this text; there is no such file where everything is gone."""
        path = self.folder / name
        if self.state is not State.GONE:
            path.write_text(text, encoding="utf-8")
        return str(path)

    def origin(self, reply: Answer, /) -> str:
        """`http://…` of a server that answers with a status and a body; nobody listens there where
        everything is gone."""
        if self.state is State.GONE:
            return f"http://127.0.0.1:{free_port()}"
        return self.running.enter_context(Loopback.by(reply)).origin

    # --- series ----------------------------------------------------------------------------------

    def csv(self) -> str:
        """A file with a column for each series."""
        path = Path(self.file("series.csv", ""))
        if path.exists():
            with path.open("w", encoding="utf-8", newline="") as file:
                rows = csv.writer(file)
                rows.writerow(["time", *SERIES])
                for at in MOMENTS:
                    cells = [_cell(series.get(at, math.nan)) for series in SERIES.values()]
                    rows.writerow([_written(at, self.state), *cells])
        return str(path)

    def sqlite(self) -> str:
        """A database with the table `points`: series, time (UTC) and value."""
        path = Path(self.file("series.db", ""))
        if path.exists():
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute("CREATE TABLE points (series TEXT, time TEXT, value REAL)")
                for name, series in SERIES.items():
                    for at, value in series.items():
                        point = (name, f"{at:%Y-%m-%d %H:%M:%S}", value)  # NaN becomes NULL
                        connection.execute("INSERT INTO points VALUES (?, ?, ?)", point)
        return str(path)

    def test_runs(self) -> str:
        """A folder with a test run for each moment, in which a suite of each series has one test
        that takes as many seconds as its value."""
        path = self.folder / "runs"
        if self.state is not State.GONE:
            path.mkdir()
        for at in MOMENTS if path.exists() else ():
            suites = [
                f'<testsuite name="{name}" timestamp="{_written(at, self.state)}"><testcase '
                f'name="test" {_seconds(series[at])}/></testsuite>'
                for name, series in SERIES.items()
                if at in series
            ]
            text = f"<testsuites>{''.join(suites)}</testsuites>"
            (path / f"{at:%H%M}.xml").write_text(text, encoding="utf-8")
        return str(path)

    def prometheus(self) -> str:
        """A server that knows each series by its name, and refuses all other queries."""

        def reply(request: Request) -> tuple[int, str]:
            query = _query(request)
            if "query" not in query:
                return 200, json.dumps({"status": "success", "data": {}})
            for name, series in SERIES.items():
                if name in query["query"]:
                    counting = "_over_time(" in query["query"]
                    return 200, matrix([({}, _points(query, series, counting=counting))])
            detail = f"parse error: {request.line} {request.headers}"
            return 400, json.dumps({"status": "error", "errorType": "bad_data", "error": detail})

        return self.origin(reply)

    def datadog(self) -> str:
        """Datadog's API for time series: it knows each metric by its name, and refuses others."""

        def reply(request: Request) -> tuple[int, str]:
            fields = _query(request)
            query, begin, end = fields.get("query", ""), fields.get("from"), fields.get("to")
            for name, series in SERIES.items():
                if name in query:
                    points = [
                        [at.timestamp() * 1000, None if math.isnan(value) else value]
                        for at, value in series.items()
                        if int(begin or 0) <= at.timestamp() <= int(end or 0)
                    ]
                    about = {"tag_set": [], "scope": "*", "interval": STEP.total_seconds()}
                    found = [{**about, "pointlist": points}] if points else []
                    return 200, json.dumps({"status": "ok", "series": found})
            return 400, json.dumps({"errors": [f"Rule '{query}' {request.headers}"]})

        return self.origin(reply)

    def cloudwatch(self) -> str:
        """CloudWatch: it knows each metric by its name, and refuses others."""

        def reply(request: Request) -> tuple[int, str]:
            asked = json.loads(request.body)
            begin, end = asked["StartTime"], asked["EndTime"]
            (query,) = asked["MetricDataQueries"]
            for name, series in SERIES.items():
                if name in query["Expression"]:
                    points = {
                        at.timestamp(): value
                        for at, value in series.items()
                        if begin <= at.timestamp() < end and not math.isnan(value)
                    }
                    found = {
                        "Id": query["Id"],
                        "Label": name,
                        "Timestamps": [*points],
                        "Values": [*points.values()],
                        "StatusCode": "Complete",
                    }
                    return 200, json.dumps({"MetricDataResults": [found], "Messages": []})
            said = f"Error in expression: {request.line} {request.headers}"
            return 400, json.dumps({"__type": "ValidationError", "message": said})

        return self.origin(reply)

    def elasticsearch(self) -> str:
        """Elasticsearch: a document for each point of a series, by the name of its KPI."""
        documents = [
            {"@timestamp": int(at.timestamp() * 1000), "kpi": name, "value": value}
            for name, series in SERIES.items()
            for at, value in series.items()
            if not math.isnan(value)
        ]

        def reply(request: Request) -> tuple[int, str]:
            if any(name in request.body.decode() for name in SERIES):
                return 200, json.dumps(elasticsearch.search(documents, request))
            said = f"Failed to parse query {request.line} {request.headers}"
            return elasticsearch.refusal("query_shard_exception", said)

        return self.origin(reply)

    def influxdb(self) -> str:
        """InfluxDB: it knows each series by the name of its field, and refuses others within a good
        answer."""

        def reply(request: Request) -> tuple[int, str]:
            query = _query(request)["q"]
            begin, end = (datetime.fromisoformat(text) for text in re.findall(r"'(.*?)'", query))
            for name, series in SERIES.items():
                if f"({name})" in query:
                    points = [
                        [int(at.timestamp()), None if math.isnan(value) else value]
                        for at, value in series.items()
                        if begin <= at < end
                    ]
                    halves = (points[: len(points) // 2], points[len(points) // 2 :])
                    return 200, "\n".join(_chunk(half, more=half is halves[0]) for half in halves)
            said = f"no such field: {request.line} {request.headers}"
            return 200, json.dumps({"results": [{"statement_id": 0, "error": said}]})

        return self.origin(reply)

    def newrelic(self) -> str:
        """NerdGraph: an event for each point of a series; it refuses queries of others."""

        def reply(request: Request) -> tuple[int, str]:
            query = json.loads(request.body)["variables"]["nrql"]
            begin, end = (int(each) // 1000 for each in re.findall(r"\d+", query)[-2:])
            for name, series in SERIES.items():
                if name in query:
                    moments = range(begin, end, int(STEP.total_seconds()))
                    rows = [_event(at, series) for at in moments]
                    nrql = {"results": rows, "metadata": {"facets": None}}
                    return 200, json.dumps({"data": {"actor": {"account": {"nrql": nrql}}}})
            said = f"NRQL Syntax Error: {request.line} {request.headers}"
            return 200, json.dumps({"data": None, "errors": [{"message": said}]})

        return self.origin(reply)

    def graphite(self) -> str:
        """Graphite: it knows each series by the last part of its name, and has nulls for all other
        steps it is asked for, and for one more."""

        def reply(request: Request) -> tuple[int, str]:
            asked = _query(request)
            target, step_s = asked["target"], int(STEP.total_seconds())
            begin, end = int(asked["from"]) + 1, int(asked["until"]) + 1
            if "summarize" not in target:
                said = f"Received request for unknown function: {target} {request.headers}"
                return 400, said
            for name, series in SERIES.items():
                if f".{name}," in target:
                    values = {at.timestamp(): value for at, value in series.items()}
                    points = [
                        [None if math.isnan(value := values.get(at, math.nan)) else value, at]
                        for at in range(begin, end + step_s, step_s)
                    ]
                    return 200, json.dumps([{"target": target, "tags": {}, "datapoints": points}])
            return 200, "[]"

        return self.origin(reply)

    # --- releases --------------------------------------------------------------------------------

    def release_list(self) -> str:
        """A file with the releases in JSON, the last one first."""
        entries = [
            {"version": version, "started_at": _written(at, self.state)}
            for version, at in reversed([*RELEASES.items()])
        ]
        return self.file("releases.json", json.dumps(entries))

    def deploy_log(self) -> str:
        """A file with a line `TIME VERSION` for each release, the last one first."""
        lines = [f"{_written(at, self.state)} {version}" for version, at in RELEASES.items()]
        return self.file("deploys.log", "\n".join(reversed(lines)))

    def tags(self) -> str:
        """A git repository with a tag for each release."""
        path = self.folder / "repository"
        if self.state is State.GONE:
            return str(path)
        path.mkdir()
        environ = {"PATH": os.environ["PATH"], "HOME": str(path), "GIT_CONFIG_NOSYSTEM": "1"}

        def git(*words: str, at: datetime = START) -> None:
            roles = {
                f"GIT_{role}_{key}": value
                for role in ("AUTHOR", "COMMITTER")
                for key, value in (("NAME", "A"), ("EMAIL", "a@b"), ("DATE", at.isoformat()))
            }
            subprocess.run(
                ["git", "-C", str(path), *words],
                env=environ | roles,
                check=True,
                capture_output=True,
            )

        git("init", "--quiet")
        for version, at in RELEASES.items():
            git("commit", "--quiet", "--allow-empty", "-m", "work", at=at)
            git("tag", version)
        return str(path)

    def versions(self) -> str:
        """A Prometheus in which `build_info` says by its label `version` which release runs."""
        ends = [*list(RELEASES.values())[1:], WINDOW.end + 12 * STEP]
        spans = dict(zip(RELEASES, zip(RELEASES.values(), ends, strict=True), strict=True))

        def reply(request: Request) -> tuple[int, str]:
            moments = _moments(_query(request))
            series = [
                (
                    {"version": version},
                    [(at, "1") for at in moments if first.timestamp() <= at < last.timestamp()],
                )
                for version, (first, last) in spans.items()
            ]
            return 200, matrix([each for each in series if each[1]])

        return self.origin(reply)

    def github_deployments(self) -> str:
        """An API of GitHub that knows a deployment of each release, the last one first."""
        entries = [
            {"id": number, "ref": version, "sha": "a" * 40, "created_at": _written(at, self.state)}
            for number, (version, at) in reversed([*enumerate(RELEASES.items(), 1)])
        ]
        moments = {str(each["id"]): each["created_at"] for each in entries}

        def reply(request: Request) -> tuple[int, str]:
            path, _, last = urlsplit(request.line.split()[1]).path.rpartition("/")
            if last == "deployments":
                return 200, json.dumps(entries)
            at = moments[path.rpartition("/")[2]]
            return 200, json.dumps([{"id": 1, "state": "success", "created_at": at}])

        return self.origin(reply)

    def gitlab_deployments(self) -> str:
        """An API of GitLab that knows a deployment of each release."""

        def reply(request: Request) -> tuple[int, str]:
            after = datetime.fromisoformat(_query(request)["finished_after"])
            entries = [
                {
                    "id": number,
                    "ref": version,
                    "sha": "a" * 40,
                    "created_at": _written(at, self.state),
                    "updated_at": _written(at, self.state),
                    "deployable": None,
                }
                for number, (version, at) in enumerate(RELEASES.items(), 1)
                if at >= after
            ]
            return 200, json.dumps(entries)

        return self.origin(reply)

    def launchdarkly(self) -> str:
        """An audit log of LaunchDarkly, in which a flag of each release is switched on."""
        state = {"on": True, "offVariation": 1, "fallthrough": {"variation": 0}}
        entries = [
            flags.change(number, at, version, state)
            for number, (version, at) in enumerate(RELEASES.items(), 1)
        ]
        return self.origin(lambda request: flags.audit_log(request, entries))

    def unleash(self) -> str:
        """An Unleash, in which a flag of each release is enabled."""
        events = [
            flags.event(number, _written(at, self.state), "feature-environment-enabled", version)
            for number, (version, at) in enumerate(RELEASES.items(), 1)
        ]
        return self.origin(lambda request: flags.unleash(request, events))

    def argocd(self) -> str:
        """An Argo CD with an application that was synced to each release."""
        history = [
            {
                "id": number,
                "revision": "a" * 40,
                "deployStartedAt": _written(at, self.state),
                "deployedAt": _written(at + timedelta(seconds=9), self.state),
                "source": {"repoURL": "https://git.example/shop", "targetRevision": version},
            }
            for number, (version, at) in enumerate(RELEASES.items())
        ]
        answer = {"metadata": {"name": "shop"}, "status": {"history": history}}
        return self.origin(lambda _: (200, json.dumps(answer)))

    def pipeline(self, version: str) -> dict[str, str]:
        """The variables of a pipeline that releases the version."""
        if self.state is State.GONE:
            return {}
        began = _written(RELEASES[version], self.state)
        return {
            "GITLAB_CI": "true",
            "CI_COMMIT_TAG": version,
            "CI_PIPELINE_CREATED_AT": began,
            "CI_JOB_STARTED_AT": began,
        }


def _chunk(points: Sequence[object], *, more: bool) -> str:
    """A part of InfluxDB's answer; `more` of them follow."""
    series = {"name": "shop", "columns": ["time", "sum"], "values": points}
    result = {"statement_id": 0} | ({"series": [series]} if points else {})
    return json.dumps({"results": [result | ({"partial": True} if more else {})]})


def _event(at: int, series: Series) -> dict[str, Any]:
    """A row of New Relic; in a step without events, averages are null and counts are 0."""
    value = series.get(datetime.fromtimestamp(at, UTC), math.nan)
    row = {"beginTimeSeconds": at, "endTimeSeconds": at + int(STEP.total_seconds())}
    missing = math.isnan(value)
    return {**row, "average.value": None if missing else value, "count": int(not missing)}


def _cell(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


def _seconds(value: float) -> str:
    return "" if math.isnan(value) else f'time="{value!r}"'


def _written(at: datetime, state: State) -> str:
    return (at.replace(tzinfo=None) if state is State.WITHOUT_ZONES else at).isoformat()


def _query(request: Request) -> dict[str, str]:
    target = request.line.split()[1]
    text = urlsplit(target).query or request.body.decode()
    return {name: values[0] for name, values in parse_qs(text).items()}


def _moments(query: Mapping[str, str]) -> range:
    return range(int(query["start"]), int(query["end"]) + 1, int(query["step"]))


def _points(query: Mapping[str, str], series: Series, *, counting: bool) -> list[tuple[float, str]]:
    """The value of a step stands at its end, as a query over `[$step]` has it."""
    values = {(at + STEP).timestamp(): value for at, value in series.items()}
    return [(at, "1" if counting else str(values[at])) for at in _moments(query) if at in values]
