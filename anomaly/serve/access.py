"""Who may do what: bearer tokens with a scope, and the secrets that webhooks are signed with. They
come from environment variables, or from files that these name, and from nowhere else.

`ANOMALY_READ_TOKEN` holds a token, or several between spaces while one replaces another;
`ANOMALY_READ_TOKEN_FILE` is the path of a file with one on each line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from anomaly.errors import UsageError

SHORTEST = 16  # characters of a token or secret: a shorter one can be guessed


class Scope(StrEnum):
    """What a token allows."""

    READ = "read"
    RELEASE = "release"
    ACK = "ack"


class Refusal(StrEnum):
    """Why a request is refused."""

    MISSING = "no token"
    UNKNOWN = "unknown token"
    OTHER_SCOPE = "other scope"


@dataclass(frozen=True, slots=True)
class Access:
    """The tokens of each scope; without any, all is allowed."""

    tokens: Mapping[Scope, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Access:
        """Those of the environment. Raises UsageError."""
        return cls({scope: secrets(f"ANOMALY_{scope.upper()}_TOKEN", environ) for scope in Scope})

    @property
    def is_open(self) -> bool:
        return not any(self.tokens.values())

    @property
    def secrets(self) -> frozenset[str]:
        """What no text may show."""
        return frozenset(token for tokens in self.tokens.values() for token in tokens)

    def refusal(self, header: str | None, scope: Scope, *, basic: bool = False) -> Refusal | None:
        """Why the `Authorization` header does not allow the scope; None if it does. With `basic`
        a token may also be the password of basic authentication, which browsers ask for."""
        if self.is_open:
            return None
        if not header:
            return Refusal.MISSING
        token = _token(header, basic=basic)
        allowed = {each for each in Scope if is_one_of(token, self.tokens.get(each, ()))}
        if not allowed:
            return Refusal.UNKNOWN
        return None if scope in allowed else Refusal.OTHER_SCOPE


def is_one_of(text: str, secrets: Iterable[str]) -> bool:
    """Whether the text is one of the secrets; how long that takes tells nothing about them."""
    digest = _digest(text)
    matches = [hmac.compare_digest(digest, _digest(secret)) for secret in secrets]
    return any(matches)


def secrets(name: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The secrets that the variable `name` holds, or the file that `name_FILE` names. Raises
    UsageError for a file that can't be read and for a secret that can be guessed."""
    place, path = name, environ.get(f"{name}_FILE", "")
    text = environ.get(name, "")
    if path:
        place = f"{name}_FILE"
        try:
            text += "\n" + Path(path).read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{place}: {path} can't be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UsageError(f"{place}: {path} is not text in UTF-8") from None
        if not text.strip():
            raise UsageError(f"{place}: {path} is empty; write a secret on each line")
    secrets = tuple(dict.fromkeys(text.split()))
    for secret in secrets:
        if len(secret) < SHORTEST:
            raise UsageError(
                f"{place}: a secret of {len(secret)} characters can be guessed; use {SHORTEST} or "
                "more, such as from: openssl rand -hex 32"
            )
    return secrets


def _token(header: str, *, basic: bool) -> str:
    """The token in a header; empty if it holds none."""
    scheme, _, value = header.strip().partition(" ")
    if scheme.casefold() == "bearer":
        return value.strip()
    if not (basic and scheme.casefold() == "basic"):
        return ""
    try:
        pair = base64.b64decode(value.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return ""
    return pair.partition(":")[2]


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
