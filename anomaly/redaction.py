"""Keeps secrets out of logs and errors: as they are, URL-encoded, escaped, and inside base64."""

from __future__ import annotations

import base64
import html
import json
import logging
import re
import string
import traceback
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from urllib.parse import quote, quote_plus, unquote, urlsplit

MASK = "***"
SHORTEST = 4  # a shorter secret would be found inside ordinary words
SHORTEST_IN_BASE64 = 6  # characters of base64 that are surely the secret's own
MOST_KEPT = 1024  # secrets and URLs of which forms and parts are kept: each plug-in asks again
BASE64 = frozenset(string.ascii_letters + string.digits + "+/-_")
TOKEN = re.compile(r"(?=.{20})|(?=.{8})(?=.*[0-9])(?=.*[A-Za-z])", re.DOTALL)
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://", re.ASCII)
DATABASES = frozenset(
    {
        "bigquery",
        "clickhouse",
        "clickhousedb",
        "cockroachdb",
        "databricks",
        "duckdb",
        "mariadb",
        "mssql",
        "mysql",
        "oracle",
        "postgres",
        "postgresql",
        "redshift",
        "snowflake",
        "sqlite",
        "trino",
    }
)
LOG_RECORD = frozenset(vars(logging.makeLogRecord({})))
_Forms = dict[str, list[str]]


class Secret(str):
    """A text that shows itself only where it is used: its repr, and so that of all that holds it,
    is `***`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)


class Redactor:
    """Replaces `secrets` in text by `***`. Attach it to log *handlers* with `addFilter`.

    Secrets shorter than four characters are not looked for.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = frozenset(secret for secret in secrets if len(secret) >= SHORTEST)

    @cached_property  # dear to make, and most runs have nothing to mask
    def _plain(self) -> _Forms:
        return _by_head(frozenset().union(*map(_forms, self._secrets)))

    @cached_property
    def _base64(self) -> _Forms:
        return _by_head(frozenset().union(*map(_base64_forms, self._secrets)))

    def text(self, text: str) -> str:
        """`text` with every secret masked; base64 that contains a secret is masked up to its
        ends."""
        spans = [
            *_found(text, self._plain),
            *(_widened(text, span) for span in _found(text, self._base64)),
        ]
        parts, position = [], 0
        for start, end in sorted(spans):
            if start >= position:
                parts += [text[position:start], MASK]
            position = max(position, end)
        return "".join([*parts, text[position:]])

    def filter(self, record: logging.LogRecord) -> bool:
        """Masks secrets in the record's message, traceback, stack and text fields; always keeps the
        record."""
        record.msg, record.args = self.text(_message(record)), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        record.exc_info = None
        for name, value in vars(record).items():
            if isinstance(value, str) and (
                name not in LOG_RECORD or name in ("exc_text", "stack_info")
            ):
                setattr(record, name, self.text(value))
        return True

    def __repr__(self) -> str:
        return "Redactor(***)"


def is_url(value: str) -> bool:
    """Whether `value` starts like a URL."""
    return URL.match(value) is not None


def is_database(url: str) -> bool:
    """Whether a URL is that of a database, with or without a driver (`postgresql+psycopg://`)."""
    return url.partition("://")[0].partition("+")[0].casefold() in DATABASES


def looks_like_token(value: str) -> bool:
    """Whether `value` has twenty characters, or eight that mix letters and digits."""
    return TOKEN.match(value) is not None


@lru_cache(maxsize=MOST_KEPT)
def url_secrets(url: str) -> frozenset[str]:
    """The secret parts of a URL: password, query values, fragment, and what in user or path looks
    like a token. A user without a password is a token, unless the URL is that of a database, whose
    path is a name.

    User and password come together too, for basic authentication encodes them so.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return frozenset({url})
    userinfo = parts.netloc.rpartition("@")[0]
    user, _, password = userinfo.partition(":")
    query = [pair.partition("=")[2] or pair for pair in re.split("[&;]", parts.query)]
    database = is_database(url)
    path = [] if database else [each for each in parts.path.split("/") if looks_like_token(each)]
    candidates = [
        userinfo if password else "",
        user if looks_like_token(user) or not (password or database) else "",
        password,
        *query,
        parts.fragment,
        *path,
        parts.path if path else "",
    ]
    return frozenset(
        form for part in candidates for form in (part, unquote(part)) if len(form) >= SHORTEST
    )


@lru_cache(maxsize=MOST_KEPT)
def _forms(secret: str) -> frozenset[str]:
    """The secret raw, URL-encoded (both hex cases, `/` and space both ways), and escaped as JSON,
    repr and HTML."""
    encoded = [quote(secret, safe=""), quote(secret), quote_plus(secret)]
    return frozenset(
        (
            secret,
            *encoded,
            *(re.sub("%..", lambda match: match[0].lower(), form) for form in encoded),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
            html.escape(secret),
        )
    )


@lru_cache(maxsize=MOST_KEPT)
def _base64_forms(secret: str) -> frozenset[str]:
    """What any base64 text that contains the secret must contain: one piece for each of the three
    alignments."""
    raw = secret.encode("utf-8", "surrogateescape")
    pieces = set[str]()
    for before in range(3):
        bits = (before * 8, (before + len(raw)) * 8)
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            piece = encode(b"\0" * before + raw).decode("ascii")[-(-bits[0] // 6) : bits[1] // 6]
            if len(piece) >= SHORTEST_IN_BASE64:
                pieces.add(piece)
    return frozenset(pieces)


def _by_head(forms: Iterable[str]) -> _Forms:
    """The forms by how they begin: many begin alike, and few are in a text."""
    out: dict[str, list[str]] = {}
    for form in forms:
        out.setdefault(form[:SHORTEST], []).append(form)
    return out


def _found(text: str, forms: _Forms) -> Iterator[tuple[int, int]]:
    for head, alike in forms.items():
        for form in alike if head in text else ():
            start = text.find(form)
            while start >= 0:
                yield start, start + len(form)
                start = text.find(form, start + 1)


def _widened(text: str, span: tuple[int, int]) -> tuple[int, int]:
    """The span and the base64 characters around it."""
    start, end = span
    while start > 0 and text[start - 1] in BASE64:
        start -= 1
    while end < len(text) and (text[end] in BASE64 or text[end] == "="):
        end += 1
    return start, end


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # wrong arguments must not stop the program that logs
        return f"{record.msg} {record.args}"
