"""The tables of a history, the same on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """A time as microseconds since 1970: it sorts, and has no time zone to lose."""

    impl = BigInteger
    cache_ok = True

    # SQLAlchemy's signature
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else EPOCH + value * MICROSECOND


def _id(*more: Any, primary_key: bool = False, nullable: bool = False) -> Column[str]:
    name, *rest = more
    return Column(name, String(32), *rest, primary_key=primary_key, nullable=nullable)


METADATA = MetaData()
SCHEMA = Table("schema", METADATA, Column("version", Integer, nullable=False))
RELEASES = Table(
    "releases",
    METADATA,
    _id("id", primary_key=True),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment, nullable=False),
    Column("stages", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("origin", Text, nullable=False),
    Column("checklist", Text, nullable=False),
    Index("releases_by_start", "service", "environment", "started_at"),
    Index("releases_by_end", "service", "environment", "finished_at"),
    Index("releases_by_environment", "environment", "started_at"),
    Index("releases_by_state", "service", "environment", "state", "started_at"),
)
LOOKS = Table(
    "looks",
    METADATA,
    _id("id", primary_key=True),
    _id("release_id", ForeignKey("releases.id", ondelete="CASCADE")),
    Column("number", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("headline", Text, nullable=False),
    # the end of its points, if the newest report has the same up to then
    Column("points_until", Moment),
    Column("report", LargeBinary, nullable=False),  # without points
    UniqueConstraint("release_id", "number"),
)
NEWEST_REPORTS = Table(  # with points
    "newest_reports",
    METADATA,
    _id("release_id", ForeignKey("releases.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, nullable=False),  # of the look
    Column("report", LargeBinary, nullable=False),
)
FINDINGS = Table(
    "findings",
    METADATA,
    _id("look_id", ForeignKey("looks.id", ondelete="CASCADE"), primary_key=True),
    _id("id", primary_key=True),
    _id("release_id", ForeignKey("releases.id", ondelete="CASCADE")),
    Column("kpi", Text, nullable=False),
    Column("segment", JSON, nullable=False),
    Column("total", Boolean, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("fails", Boolean, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("effect", Float),
    Column("p_value", Float),
    Column("began", Moment),
    Index("findings_by_release", "release_id", "id"),
)
MESSAGES = Table(
    "messages",
    METADATA,
    _id("id", primary_key=True),
    _id("release_id", ForeignKey("releases.id", ondelete="CASCADE")),
    _id("look_id", ForeignKey("looks.id", ondelete="CASCADE")),
    Column("number", Integer, nullable=False),  # per release and sink, which keeps their order
    Column("sink", Text, nullable=False),
    Column("action", String(16), nullable=False),
    Column("why", String(16), nullable=False),
    Column("told", JSON, nullable=False),
    Column("at", Moment, nullable=False),
    Column("progress", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_try", Moment, nullable=False),
    Column("detail", Text, nullable=False),
    Column("thread", Text, nullable=False),  # where the sink wants later messages about the release
    UniqueConstraint("release_id", "sink", "number"),
    Index("messages_by_progress", "progress", "next_try"),
    Index("messages_by_look", "look_id"),
)
ACKS = Table(
    "acks",
    METADATA,
    _id("target", primary_key=True),
    _id("release_id", ForeignKey("releases.id", ondelete="CASCADE")),
    Column("at", Moment, nullable=False),
    Column("incident", Boolean, nullable=False),
    Column("note", Text, nullable=False),
    Index("acks_by_release", "release_id"),
)
LEASES = Table(
    "leases",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", Moment, nullable=False),
)
