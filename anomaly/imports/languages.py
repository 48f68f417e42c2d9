"""The languages in which other tools ask what is no Prometheus, by the kind that they name."""

from __future__ import annotations

import re
from collections.abc import Callable

from anomaly.imports import cloudwatch, datadog, graphite, influxql, nrql
from anomaly.imports.queries import Query, query_of

Language = tuple[Callable[[str], Query | str], dict[str, str]]  # with the settings of a source
IN_PROMQL = (
    "a KPI is asked of Google in PromQL, by a source of type prometheus with sign_in: google"
)
NOT_READ = {
    "influxdb": influxql.NO_FLUX,  # Argo Rollouts and Flagger take nothing else
    "stackdriver": f"it is a filter, or MQL; {IN_PROMQL}",
}
PROJECT = re.compile(r"[a-z0-9:.-]+")


def language(
    kind: str, *, address: str = "", region: str = "", project: str = ""
) -> Language | None:
    """How a kind is asked, at an address, region or project that a file names; None for
    Prometheus."""
    languages: dict[str, Language] = {
        "datadog": (datadog.query_of, datadog.settings(address)),
        "cloudwatch": (cloudwatch.query_of, cloudwatch.settings(region)),
        "newrelic": (nrql.query_of, nrql.settings()),
        "graphite": (graphite.query_of, graphite.settings(address)),
        "influxdb": (influxql.query_of, influxql.settings()),
        "gcp": (query_of, _of_google(project)),
    }
    return languages.get(kind.casefold())


def _of_google(project: str) -> dict[str, str]:
    """The settings of the Prometheus that Google keeps for a project."""
    name = project if PROJECT.fullmatch(project) else "${GOOGLE_PROJECT}"
    url = f"https://monitoring.googleapis.com/v1/projects/{name}/location/global/prometheus"
    return {"type": "prometheus", "url": url, "sign_in": "google"}
