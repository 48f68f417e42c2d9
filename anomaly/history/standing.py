"""The questions to the history about where a release stands. They are asked often, so they are made
once; what they are about is bound when they are asked."""

from __future__ import annotations

import sqlalchemy as sql

from anomaly.history.queries import LOOK_COLUMNS
from anomaly.history.tables import FINDINGS, LOOKS, RELEASES
from anomaly.model import WORST_FIRST, KpiSeverity, Verdict

SERVICE, ENVIRONMENT, VERSION = "service", "environment", "version"
LOOK, MOST = "look", "most"
OF_RELEASE, OF_LOOK = "releases_", "looks_"  # how the columns of each table begin

_version = sql.bindparam(VERSION, type_=sql.String)
NEWEST = (
    sql.select(RELEASES, *LOOK_COLUMNS)
    .select_from(RELEASES.join(LOOKS, LOOKS.c.release_id == RELEASES.c.id, isouter=True))
    .where(
        RELEASES.c.service == sql.bindparam(SERVICE),
        RELEASES.c.environment == sql.bindparam(ENVIRONMENT),
        sql.or_(_version == "", RELEASES.c.version == _version),
    )
    .order_by(RELEASES.c.started_at.desc(), RELEASES.c.id.desc(), LOOKS.c.number.desc())
    .limit(1)
    .set_label_style(sql.LABEL_STYLE_TABLENAME_PLUS_COL)
)
COUNTS = (
    sql.select(FINDINGS.c.verdict, sql.func.count())
    .where(FINDINGS.c.look_id == sql.bindparam(LOOK))
    .group_by(FINDINGS.c.verdict)
)
_rank = sql.case(
    {str(each): place for place, each in enumerate(WORST_FIRST)}, value=FINDINGS.c.verdict
)
_holds = FINDINGS.c.severity == str(KpiSeverity.SIGNAL)
WORST_FINDINGS = (
    sql.select(FINDINGS, LOOKS.c.at)
    .join(LOOKS)
    .where(FINDINGS.c.look_id == sql.bindparam(LOOK), FINDINGS.c.verdict != str(Verdict.OK))
    .order_by(FINDINGS.c.fails.desc(), _holds, _rank, FINDINGS.c.kpi, FINDINGS.c.id)
    .limit(sql.bindparam(MOST, type_=sql.Integer))
)
