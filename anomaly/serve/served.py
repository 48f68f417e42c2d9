"""What the service serves: checklists, each in its environment, by the service that they judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from anomaly.checklist.checklist import Checklist
from anomaly.errors import UsageError
from anomaly.timing.spans import settled_at
from anomaly.wording import did_you_mean, plain

LONGEST_NAME = 80  # characters of a name that is not served


class UnknownService(UsageError):
    """No checklist is about this service and environment."""


@dataclass(frozen=True, slots=True)
class Served:
    """The checklists, no two about the same service and environment. Raises UsageError."""

    checklists: tuple[Checklist, ...]

    def __post_init__(self) -> None:
        by_place: dict[tuple[str, str], Checklist] = {}
        for each in self.checklists:
            before = by_place.setdefault((each.service, each.environment), each)
            if before is not each:
                raise UsageError(
                    f"{before.path} and {each.path} are both about {_words(each)}; serve one of "
                    "them, or put their KPIs into one checklist"
                )

    def checklist(self, service: str, environment: str | None) -> Checklist:
        """The one about this service; the environment may be left out where there is only one.
        Raises UnknownService."""
        of_service = [each for each in self.checklists if each.service == service]
        if not of_service:
            names = list(dict.fromkeys(each.service for each in self.checklists))
            raise UnknownService(
                f"service {plain(service, LONGEST_NAME)!r} is not served here; served: "
                f"{', '.join(names)}{did_you_mean(service, names)}"
            )
        if environment is None and len(of_service) == 1:
            return of_service[0]
        names = [each.environment for each in of_service]
        for each in of_service:
            if each.environment == (environment or ""):
                return each
        name = plain(environment or "", LONGEST_NAME)
        raise UnknownService(
            f"{service} is not served in environment {name!r}; served: {', '.join(names)}"
            f"{did_you_mean(name, names)}"
            if name
            else f"{service} has several environments: {', '.join(names)}; say which"
        )

    def next_look(self, now: datetime) -> datetime:
        """When the next step of any of them settles."""
        return min(settled_at(each.windows, now) for each in self.checklists)


def names(checklists: Sequence[Checklist]) -> str:
    """`shop in staging, shop in production, search`."""
    return ", ".join(_words(each) for each in checklists)


def _words(checklist: Checklist) -> str:
    where = f" in {checklist.environment}" if checklist.environment else ""
    return f"{checklist.service}{where}"
