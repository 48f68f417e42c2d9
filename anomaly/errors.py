"""Every error that the package raises on purpose.

AnomalyError
├── UsageError            the call itself is wrong: a naive time, a reversed range         exit 2
│   └── ChecklistError    the checklist is wrong: file, line, key, found, allowed          exit 2
├── CollectError          a source could not be read                                       exit 4
│   └── RetryableCollectError   … but may answer when asked again
├── RequestError          a request over HTTP failed; a source or sink says what that means
│   └── RetryableRequestError   … but may succeed when sent again
├── SinkError             a sink could not be told                                         exit 5
│   └── RetryableSinkError      … but may take it when told again
├── EngineError           the engine that should do the work can't be reached             exit 4
└── StoreError            the history can't be used: locked, unreachable, of a later version exit 4
    └── StoreBusy               … because somebody else was faster
"""

from __future__ import annotations


class AnomalyError(Exception):
    """Base of all errors below. Its text is meant for the user and contains no secret."""


class UsageError(AnomalyError):
    """The caller must change something: an argument, a time, a series."""


class ChecklistError(UsageError):
    """The checklist must change. The text names file, line, key, the value found and the values
    allowed."""


class CollectError(AnomalyError):
    """A source gave no usable answer for a KPI."""


class RetryableCollectError(CollectError):
    """A source gave no answer now, but may later (unavailable, timeout, 429)."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RequestError(AnomalyError):
    """A request over HTTP failed for good."""


class RetryableRequestError(RequestError):
    """A request over HTTP failed now, but may succeed later."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SinkError(AnomalyError):
    """A sink refused a message for good."""


class RetryableSinkError(SinkError):
    """A sink did not accept a message now, but may later. Sending it again under the same key is
    safe."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineError(AnomalyError):
    """The engine that should do the work can't be reached."""


class StoreError(AnomalyError):
    """The history can't be read or written."""


class StoreBusy(StoreError):
    """Somebody else did the same work meanwhile; what was decided does not count."""
