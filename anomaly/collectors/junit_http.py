"""Test runs over HTTP: XML or a zip at an address."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar

from anomaly.collectors.http_source import HttpSource
from anomaly.collectors.junit_runs import KeptRun, too_large
from anomaly.collectors.junit_zip import Archive
from anomaly.http.endpoint import Endpoint
from anomaly.model import Window
from anomaly.wording import plain


class HttpRuns(HttpSource):
    """Where runs are had over HTTP."""

    ask_less: ClassVar[str] = "keep no more than the XML of test runs in it"
    hints: ClassVar[Mapping[int, str]] = {
        401: "are bearer_token, username and password, and headers right?",
        403: "may bearer_token, or username and password, read it?",
        404: "is url right, and may bearer_token, or username and password, read it?",
    }

    def __init__(
        self, endpoint: Endpoint, headers: Mapping[str, str], *, max_bytes: int, **outside: Any
    ) -> None:
        super().__init__(endpoint, **outside)
        self._headers, self._max_bytes = headers, max_bytes

    @abstractmethod
    def runs(self, window: Window, /) -> Iterator[KeptRun]:
        """The runs that may have begun in the window. Raises CollectError."""

    def download(self, path: str = "") -> bytes:
        """What is there; a redirect leads to it."""
        content: bytes = self.ask(
            "GET", path, headers=self._headers, hints=self.hints, decode=bytes, follow=True
        )
        return content


class RunsAtAddress(HttpRuns):
    """An XML file is a run. A zip is a folder of runs; a folder that holds all that is in it does
    not count."""

    def runs(self, _window: Window, /) -> Iterator[KeptRun]:
        """The run, or those in the zip."""
        self.begin()
        where, content = self._endpoint.where, self.download()
        if not content.startswith(b"PK"):
            if len(content) > self._max_bytes:
                raise too_large(where, self._max_bytes)
            yield KeptRun("", where, lambda: [(where, content)])
            return
        archive = Archive(content, where, self._max_bytes)
        for name, members in archive.entries().items():
            yield KeptRun(name, f"{where}: {plain(name, 60)}", partial(archive.read, members))
