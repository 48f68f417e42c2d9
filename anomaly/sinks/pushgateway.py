"""The report as metrics, pushed to a Prometheus Pushgateway.

The group of metrics of a service and environment is replaced as a whole (`PUT /metrics/job/…`).
Values that a path can't hold are written in base64, as the Pushgateway expects
(https://github.com/prometheus/pushgateway#url).
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar

from anomaly import wording
from anomaly.contracts import Action, Message, Receipt
from anomaly.errors import UsageError
from anomaly.http.endpoint import checked_base
from anomaly.sinks.exposition import LONGEST_VALUE, exposition
from anomaly.sinks.hook import Hook

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FOR_A_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
TRIAL = {"service": "anomaly-trial"}  # the group of a trial, deleted at once


class PushgatewaySink:
    """Pushes the report as metrics to the Pushgateway at `url`, as the group of `job`, service and
    environment.

    `username` and `password` are for basic authentication; `timeout` applies to each attempt.
    Raises UsageError for invalid settings.
    """

    every_look: ClassVar[bool] = True
    dedupes: ClassVar[bool] = True

    def __init__(
        self,
        *,
        url: str,
        job: str = "anomaly",
        username: str | None = None,
        password: str | None = None,
        timeout: timedelta = timedelta(seconds=10),
    ) -> None:
        if not job:
            raise UsageError("job is empty; leave it out, or give a name")
        if (username is None) != (password is None):
            raise UsageError(
                f"{'password' if password is None else 'username'} is missing; basic "
                "authentication needs both"
            )
        target = checked_base(url)
        if username is not None and target.username is not None:
            raise UsageError("username is set, and url contains one too; use only one")
        authorization = (
            ""
            if username is None
            else f"Basic {b64encode(f'{username}:{password}'.encode()).decode('ascii')}"
        )
        self._headers = {"Authorization": authorization} if authorization else {}
        self._endpoint = Hook(
            url.rstrip("/"),
            secrets={username or "", password or "", authorization},
            timeout=timeout,
        )
        self._job = job

    def send(self, message: Message, /) -> Receipt:
        release = message.report.release
        trial = message.action is Action.TRIAL
        labels = (
            TRIAL if trial else {"service": release.service, "environment": release.environment}
        )
        path = _path({"job": self._job, **labels})
        content = exposition(message.report).encode("utf-8")
        answer = self._endpoint.ask(
            "PUT", content, self._headers | {"Content-Type": CONTENT_TYPE}, path=path
        )
        if trial:
            self._endpoint.ask("DELETE", headers=self._headers, path=path)
        return Receipt(
            "pushgateway", delivered=True, detail=f"{self._endpoint.where} answered {answer.status}"
        )


def _path(group: Mapping[str, str]) -> str:
    """The path of a group of metrics: `/metrics/job/anomaly/service/shop`."""
    parts = ((name, wording.plain(value, LONGEST_VALUE)) for name, value in group.items())
    return "/metrics" + "".join(f"/{_label(name, value)}" for name, value in parts if value)


def _label(name: str, value: str) -> str:
    if FOR_A_PATH.fullmatch(value):
        return f"{name}/{value}"
    return f"{name}@base64/{urlsafe_b64encode(value.encode('utf-8')).decode('ascii')}"
