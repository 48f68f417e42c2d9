"""JSON from the API of a system that knows of releases."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from anomaly.errors import (
    CollectError,
    RequestError,
    RetryableCollectError,
    RetryableRequestError,
    UsageError,
)
from anomaly.http.endpoint import Endpoint, checked_base

AUTHORIZATION = "Authorization"


class Api:
    """The API at `address`, which is asked with `headers`; in one of them stands the token.

    `setting` is what the checklist calls the address, and `hints` say what a status means. Raises
    UsageError for an address or a token that can't be used.
    """

    def __init__(
        self,
        address: str,
        token: str,
        headers: Mapping[str, str],
        *,
        hints: Mapping[int, str],
        timeout: timedelta,
        setting: str = "api",
    ) -> None:
        if checked_base(address, setting).username is not None and AUTHORIZATION in headers:
            raise UsageError(f"{setting} holds a user; leave it out, the token is what is sent")
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise UsageError("token is empty, or has a space or a non-ASCII character")
        self._endpoint = Endpoint(
            address.rstrip("/"), secrets={token}, timeout=timeout, setting=setting
        )
        self._headers = headers
        self._hints = hints
        self._setting = setting

    @property
    def where(self) -> str:
        return self._endpoint.where

    def get(self, path: str, hints: Mapping[int, str] | None = None) -> Any:
        """What the answer says in JSON; `hints` in place of those of all requests. Raises
        CollectError."""
        try:
            body = self._endpoint.ask(
                "GET", headers=self._headers, path=path, hints=hints or self._hints, read=True
            ).body
        except RetryableRequestError as error:
            raise RetryableCollectError(str(error), retry_after_s=error.retry_after_s) from None
        except RequestError as error:
            raise CollectError(str(error)) from None
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise self.unexpected("JSON") from None

    def unexpected(self, what: str) -> CollectError:
        """The error for an answer that is not `what` was asked for."""
        return CollectError(
            f"{self.where} answered, but not with {what}; is {self._setting} the address of its "
            "API?"
        )
