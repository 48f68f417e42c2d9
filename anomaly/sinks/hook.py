"""The endpoint of a sink: a request that fails is a message that was not delivered."""

from __future__ import annotations

from typing import Any

from anomaly.errors import RequestError, RetryableRequestError, RetryableSinkError, SinkError
from anomaly.http.endpoint import Answer, Endpoint


class Hook(Endpoint):
    """An `Endpoint` whose `ask` raises SinkError and RetryableSinkError."""

    def ask(self, *args: Any, **options: Any) -> Answer:
        """See `Endpoint.ask`."""
        try:
            return super().ask(*args, **options)
        except RetryableRequestError as error:
            raise RetryableSinkError(str(error), retry_after_s=error.retry_after_s) from None
        except RequestError as error:
            raise SinkError(str(error)) from None
