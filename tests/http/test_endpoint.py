"""One request to a URL of a checklist: what an answer means, and what is shown of it."""

from __future__ import annotations

import pytest

from anomaly.errors import RequestError, RetryableRequestError, UsageError
from anomaly.http.endpoint import Endpoint, checked_base, retry_after
from tests.support.loopback import Loopback, answer

NOW_S = 1762252500.0  # 2025-11-04T10:35:00Z
SECRET = "c4nary"

pytestmark = pytest.mark.usefixtures("loopback")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0),
        ("Tue, 04 Nov 2025 10:35:20 GMT", 20.0),
        ("Tue, 04 Nov 2025 10:35:20", 20.0),  # without a zone: UTC
        ("Tue, 04 Nov 2025 10:34:00 GMT", 0.0),
        ("soon", None),
        ("-7", None),
        ("9" * 10, None),
    ],
)
def test_a_wait_is_a_number_of_seconds_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after(text, NOW_S) == seconds


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_what_may_pass_is_worth_another_try(status: int) -> None:
    with Loopback([answer(status)]) as server, pytest.raises(RetryableRequestError):
        Endpoint(server.origin).ask("GET")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_stays_as_it_is_is_not_asked_again(status: int) -> None:
    with Loopback([answer(status)]) as server, pytest.raises(RequestError) as caught:
        Endpoint(server.origin).ask("GET")

    assert not isinstance(caught.value, RetryableRequestError)


def test_of_a_url_only_its_origin_is_shown() -> None:
    with Loopback([answer(404, body=f"no {SECRET} here".encode())]) as server:
        endpoint = Endpoint(f"{server.origin}/{SECRET}?key={SECRET}", secrets=[SECRET])
        with pytest.raises(RequestError) as caught:
            endpoint.ask("GET")

    assert server.origin in str(caught.value)
    assert SECRET not in f"{caught.value} {endpoint!r}"


@pytest.mark.parametrize("url", ["https://host/api?key=1", "https://host/#top"])
def test_an_address_that_paths_are_added_to_has_no_query(url: str) -> None:
    with pytest.raises(UsageError, match="has a query or a fragment"):
        checked_base(url)
