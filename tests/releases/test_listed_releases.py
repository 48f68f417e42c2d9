"""Releases from lists in JSON, and from the variables of a pipeline."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer

from anomaly.errors import CollectError, RetryableCollectError, UsageError
from anomaly.model import Release, Window
from anomaly.releases.ci import CiReleases
from anomaly.releases.form import read
from anomaly.releases.json_list import JsonReleases
from anomaly.reporting.data import release_data
from tests.support.loopback import Loopback, answer, drip_after

START = datetime(2025, 6, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
WHOLE = Window(START, START + 24 * HOUR)
FULL = {
    "service": "shop",
    "version": "2.3.1",
    "environment": "production",
    "started_at": "2025-06-03T10:00:00Z",
    "stages": [
        {"at": "2025-06-03T10:00:00Z", "share": 0.05},
        {"at": "2025-06-03T12:00:00+00:00", "share": 1},
    ],
}
BEFORE = {
    "service": "shop",
    "version": "2.3.0",
    "environment": "production",
    "started_at": "2025-06-03T04:00:00+02:00",
}


def at(hour: float) -> datetime:
    return START + hour * HOUR


def discovered(path: Path, content: Any) -> list[Release]:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return [*JsonReleases(path=path).discover(WHOLE)]


def test_a_list_and_lines_say_the_same(tmp_path: Path) -> None:
    expected = [
        Release(at(2), service="shop", version="2.3.0", environment="production"),
        Release(
            at(10),
            service="shop",
            version="2.3.1",
            environment="production",
            stages=((at(10), 0.05), (at(12), 1.0)),
        ),
    ]
    assert discovered(tmp_path / "list", [FULL, BEFORE]) == expected
    assert discovered(tmp_path / "list", json.dumps([FULL, BEFORE], indent=2)) == expected
    assert (
        discovered(tmp_path / "list", f"\ufeff{json.dumps(BEFORE)}\n\n{json.dumps(FULL)}\r\n")
        == expected
    )
    assert discovered(tmp_path / "list", "") == discovered(tmp_path / "list", "[]") == []


def test_only_what_began_in_the_window(tmp_path: Path) -> None:
    times = [
        "2025-06-02T23:59:59Z",
        "2025-06-03T00:00:00Z",
        "2025-06-03T23:59:59Z",
        "2025-06-04T00:00:00Z",
    ]
    found = discovered(tmp_path / "list", [{"version": time, "started_at": time} for time in times])
    assert [each.version for each in found] == times[1:3]


def test_after_what_was_aborted_the_version_before_is_back(tmp_path: Path) -> None:
    aborted = FULL | {"aborted_at": "2025-06-03T13:00:00Z"}
    found = discovered(
        tmp_path / "list", [BEFORE, aborted, BEFORE | {"service": "other", "version": "9"}]
    )
    mine = [each for each in found if each.service == "shop"]
    assert [(each.version, each.started_at, each.aborted_at) for each in mine] == [
        ("2.3.0", at(2), None),
        ("2.3.1", at(10), at(13)),
        ("2.3.0", at(13), None),
    ]
    (_, back) = discovered(tmp_path / "list", [aborted])
    assert back.version == "before 2.3.1"
    assert discovered(tmp_path / "list", [FULL | {"state": "aborted"}]) == []


def test_an_abort_that_is_still_to_come_is_not_known(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text(json.dumps([FULL | {"aborted_at": "2025-06-03T13:00:00Z"}]), encoding="utf-8")
    source = JsonReleases(path=path)
    for hour, aborted_at in ((12, None), (13, None), (14, at(13))):
        found = source.discover(Window(WHOLE.start, at(hour)))
        assert [each.aborted_at for each in found][:1] == [aborted_at]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([BEFORE, 7], "release 2 is 7; it must be an object"),
        ([{"version": "1"}], "release 1: started_at is missing"),
        ([BEFORE | {"version": 2.3}], "release 1: version is 2.3; it must be text, in quotes"),
        (
            [BEFORE | {"started_at": "2025-06-03T10:00"}],
            "release 1: started_at 2025-06-03T10:00:00 has no time zone",
        ),
        (
            [BEFORE | {"started_at": "soon"}],
            "release 1: started_at is 'soon'; write a time with a zone",
        ),
        (
            [BEFORE | {"started_at": 1748944800}],
            "release 1: started_at is 1748944800; write a time with a zone",
        ),
        (
            [BEFORE | {"finished_at": "2025-06-01T00:00Z"}],
            "release 1: release ends 2025-06-01T00:00:00+00:00 before it starts",
        ),
        (
            [BEFORE | {"aborted_at": "2025-06-01T00:00Z"}],
            "release 1: aborted_at is not after started_at",
        ),
        (
            [BEFORE | {"finishd_at": "x"}],
            (
                "release 1: 'finishd_at' is an unknown key; use one of service, version, "
                "environment, started_at"
            ),
        ),
        ([BEFORE | {"finishd_at": "x"}], "(did you mean finished_at?)"),
        (
            [BEFORE | {"stages": {}}, BEFORE | {"stages": "all"}],
            "release 2: stages is 'all'; it must be a list",
        ),
        (
            [FULL | {"stages": [FULL["stages"][0], {"at": "2025-06-03T12:00Z"}]}],
            "release 1: stages[1]: share is missing",
        ),
        ([FULL | {"stages": [{"share": 0.5}]}], "release 1: stages[0]: at is missing"),
        (
            [FULL | {"stages": [{"at": "2025-06-03T10:00Z", "share": 5}]}],
            "release 1: share of stage 1 is 5; it must be",
        ),
        (
            '{"version": "1", "started_at": "2025-06-03T10:00Z"}\n{"version": ',
            "line 2: is not JSON",
        ),
        ("[\n{]", "line 2: is not JSON"),
        ("<html>", "line 1: is not JSON"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(CollectError) as caught:
        discovered(tmp_path / "list", content)
    assert str(caught.value).startswith(f"{tmp_path / 'list'}: ")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from([*FULL, "at", "share", "x"]), inner)
        ),
    )
)
def test_anything_is_taken_or_refused(content: Any) -> None:
    for text in (json.dumps(content), json.dumps([content])):
        with contextlib.suppress(UsageError):
            read(text)


MOMENTS = st.datetimes(
    START.replace(year=1900, tzinfo=None),
    START.replace(year=9000, tzinfo=None),
    timezones=st.just(UTC),
).map(lambda moment: moment.replace(microsecond=0))


@pytest.mark.slow
@given(MOMENTS, st.lists(st.integers(1, 9), unique=True), st.text(), st.text())
def test_what_is_printed_can_be_read_again(
    started: datetime, shares: list[int], service: str, version: str
) -> None:
    stages = tuple(
        (started + number * HOUR, share / 10) for number, share in enumerate(sorted(shares))
    )
    release = Release(started, service=service, version=version, stages=stages)
    (back,) = read(
        json.dumps([{"id": "1", "state": "done", "origin": "git", **release_data(release)}])
    )
    assert back.release == release


def test_a_file_that_is_missing_or_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CollectError, match="list does not exist or is not a file"):
        JsonReleases(path=tmp_path / "list").discover(WHOLE)
    (tmp_path / "list").write_bytes(b"\xff\xfe[]")
    with pytest.raises(CollectError, match="list is not text in UTF-8"):
        JsonReleases(path=tmp_path / "list").discover(WHOLE)


def test_an_address_is_asked_with_its_headers(httpserver: HTTPServer) -> None:
    asked = httpserver.expect_request(
        "/releases", headers={"Authorization": "Bearer s3cret", "Accept": "application/json"}
    )
    asked.respond_with_json([BEFORE])
    source = JsonReleases(
        url=httpserver.url_for("/releases"), headers={"Authorization": "Bearer s3cret"}
    )
    assert [each.version for each in source.discover(WHOLE)] == ["2.3.0"]
    assert "s3cret" not in repr(source)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reply", "error", "said"),
    [
        (answer(302, Location="http://elsewhere/"), CollectError, "redirects are not followed"),
        (answer(404, "no s3cret"), CollectError, "answered 404"),
        (answer(503), RetryableCollectError, "answered 503"),
        (answer(200, "<html>"), CollectError, "line 1: is not JSON"),
        (answer(200, ""), CollectError, r"answered with nothing; for no releases, answer \[\]"),
        (
            drip_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"),
            CollectError,
            "answered with nothing",
        ),
        (
            drip_after(b"HTTP/1.1 200 OK\r\nX: "),
            RetryableCollectError,
            "gave no answer within 0.3 s",
        ),
    ],
)
def test_an_address_without_a_list_is_an_error(
    loopback: None, reply: Any, error: type[CollectError], said: str
) -> None:
    with Loopback([reply]) as server, pytest.raises(error, match=said) as caught:
        JsonReleases(
            url=f"{server.origin}/s3cret/list",
            headers={"X-Token": "s3cret"},
            timeout=timedelta(seconds=0.3),
        ).discover(WHOLE)
    assert type(caught.value) is error
    assert "s3cret" not in str(caught.value)


def test_addresses_of_credentials_are_never_asked(loopback: None) -> None:
    with pytest.raises(CollectError, match="link-local"):
        JsonReleases(url="http://169.254.169.254/latest").discover(WHOLE)
    for settings, said in (
        ({}, "give one of path and url"),
        ({"url": "file:///etc/passwd"}, "url starts with file; use http or https"),
    ):
        with pytest.raises(UsageError, match=said):
            JsonReleases(**settings)  # type: ignore[arg-type]


GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SHA": "ffac537e6cbbf934b08745a378932722df287a53",
    "GITHUB_REF_NAME": "main",
    "GITHUB_REF_TYPE": "branch",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_COMMIT_SHORT_SHA": "1ecfd275",
    "CI_PIPELINE_CREATED_AT": "2025-06-03T09:00:00Z",
    "CI_JOB_STARTED_AT": "2025-06-03T09:20:00Z",
}


def test_the_pipeline_of_github_is_a_release_of_its_tag_or_commit() -> None:
    assert [*CiReleases(environ=GITHUB).discover(WHOLE)] == [Release(WHOLE.end, version="ffac537e")]
    tagged = GITHUB | {"GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": "v2.3.1"}
    assert [*CiReleases(environ=tagged).discover(WHOLE)] == [Release(WHOLE.end, version="v2.3.1")]


def test_the_pipeline_of_gitlab_says_its_times_and_environment() -> None:
    (commit,) = CiReleases(environ=GITLAB).discover(WHOLE)
    assert commit == Release(at(9), at(9) + 20 * timedelta(minutes=1), version="1ecfd275")
    (tagged,) = CiReleases(
        environ=GITLAB | {"CI_COMMIT_TAG": "v2.3.1", "CI_ENVIRONMENT_NAME": "production"}
    ).discover(WHOLE)
    assert (tagged.version, tagged.environment) == ("v2.3.1", "production")
    assert [*CiReleases(environ=GITLAB).discover(Window(at(10), at(11)))] == []


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "not running in a pipeline"),
        ({"GITHUB_ACTIONS": "true"}, "the pipeline does not set GITHUB_SHA"),
        (
            GITLAB | {"CI_PIPELINE_CREATED_AT": "yesterday"},
            "CI_PIPELINE_CREATED_AT is not a time with a zone",
        ),
        (
            GITLAB | {"CI_PIPELINE_CREATED_AT": "2025-06-03T09:00:00"},
            "CI_PIPELINE_CREATED_AT is not a time with a zone",
        ),
    ],
)
def test_without_a_pipeline_it_is_an_error(environ: dict[str, str], said: str) -> None:
    with pytest.raises(CollectError, match=said):
        CiReleases(environ=environ).discover(WHOLE)
