from __future__ import annotations

import base64
import io
import json
import logging
import sys
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomaly.redaction import Redactor, url_secrets

SECRET = "hunter2-pä ss/w+rd%\"'<"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote(SECRET, safe="").lower(),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        repr(SECRET)[1:-1],
    ],
)
def test_a_secret_is_masked_in_each_of_its_forms(form: str) -> None:
    assert Redactor([SECRET]).text(f"GET /?token={form}&a=b failed") == "GET /?token=***&a=b failed"


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_masked_inside_base64_wherever_it_starts(before: str, encode: object) -> None:
    assert callable(encode)
    header = encode(f"{before}{SECRET}!".encode()).decode()
    assert (
        Redactor([SECRET]).text(f"Authorization: Basic {header}, retried")
        == "Authorization: Basic ***, retried"
    )


def test_overlapping_secrets_leave_no_rest() -> None:
    assert Redactor(["abcdef", "defghi", "abcd"]).text("xabcdefghix") == "x***x"


def test_a_secret_too_short_to_be_told_from_words_is_left() -> None:
    assert Redactor(["", "a", "abc"]).text("abc and a") == "abc and a"


def test_text_without_secrets_is_unchanged() -> None:
    assert Redactor([SECRET]).text("all is well") == "all is well"


def test_the_repr_shows_no_secret() -> None:
    assert SECRET not in repr(Redactor([SECRET]))


@given(st.text(min_size=4, max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_no_secret_survives(secret: str, before: str, after: str) -> None:
    masked = Redactor([secret]).text(f"{before}{secret}{after}")
    assert secret not in masked or secret in "***"


@pytest.mark.slow
@given(
    st.binary(min_size=6, max_size=40).map(lambda raw: raw.hex()),
    st.binary(max_size=7),
    st.binary(max_size=7),
)
def test_no_secret_survives_in_base64(secret: str, before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + secret.encode() + after).decode()
    assert Redactor([secret]).text(encoded) == "***"


def test_log_records_are_masked_in_message_arguments_traceback_and_fields() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s %(url)s"))
    handler.addFilter(Redactor([SECRET]))
    logger = logging.getLogger("test-redaction")
    logger.addHandler(handler)
    try:
        try:
            raise ValueError(f"bad token {SECRET}")  # noqa: TRY301  the traceback is the point
        except ValueError:
            logger.error(
                "asked with %s",
                SECRET,
                exc_info=sys.exc_info(),
                stack_info=True,
                extra={"url": f"http://x/{quote(SECRET)}"},
            )  # noqa: LOG014, RUF100  inside a handler
    finally:
        logger.removeHandler(handler)
    text = stream.getvalue()
    assert "asked with *** http://x/***" in text
    assert "ValueError: bad token ***" in text
    assert "hunter2" not in text.replace("def test", "")


def test_a_formatter_gets_no_exception_to_format_itself() -> None:
    error = ValueError(SECRET)
    record = logging.makeLogRecord({"msg": "failed", "exc_info": (ValueError, error, None)})
    Redactor([SECRET]).filter(record)
    assert record.exc_info is None
    assert record.exc_text == "ValueError: ***"


def test_a_log_call_with_wrong_arguments_is_still_logged() -> None:
    record = logging.makeLogRecord({"msg": "%d of %d", "args": (SECRET,)})
    assert Redactor([SECRET]).filter(record)
    assert record.getMessage().startswith("%d of %d")
    assert "hunter2" not in record.getMessage()


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://prometheus.example.com:9090/prometheus/api/v1", set()),
        ("https://user:pa%40ss@h/", {"pa%40ss", "pa@ss", "user:pa%40ss", "user:pa@ss"}),
        ("https://a1b2c3d4:pass@h/", {"a1b2c3d4", "pass", "a1b2c3d4:pass"}),
        ("https://token@h/", {"token"}),
        ("https://h/x?api_key=abcd1234&b=xy", {"abcd1234"}),
        ("https://h/x?onlyakey", {"onlyakey"}),
        ("https://h/x#fragment", {"fragment"}),
        ("https://hooks.example/T0/B0/a1b2c3d4e5", {"a1b2c3d4e5", "/T0/B0/a1b2c3d4e5"}),
        ("postgresql://postgres@h/analytics2025", set()),
        ("postgresql+psycopg://postgres:pass@h/postgres", {"pass", "postgres:pass"}),
        ("https://[bad/secret", {"https://[bad/secret"}),
    ],
)
def test_the_secret_parts_of_a_url_are_known(url: str, secrets: set[str]) -> None:
    assert url_secrets(url) == secrets


def test_a_user_of_a_database_who_is_called_like_it_is_not_masked() -> None:
    redactor = Redactor(url_secrets("postgresql://postgres:hunter2@db.example/postgres"))
    assert redactor.text("postgresql db.example/postgres: connection refused for postgres") == (
        "postgresql db.example/postgres: connection refused for postgres"
    )
