"""Which collectors, sinks and sources of releases there are, and how one is made from the
checklist.

Built-in ones are named as strings, so that nothing is imported until used. Others register through
the entry-point groups `anomaly.collectors`, `anomaly.sinks` and `anomaly.releases`; a built-in name
can't be taken over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from anomaly.checklist.settings import Setting, SettingError, coerce, outside_of, settings_of
from anomaly.checklist.strict_yaml import kind_of, shown
from anomaly.checklist.variables import is_secret_name
from anomaly.contracts import Collector, ReleaseSource, Sink
from anomaly.errors import ChecklistError, UsageError
from anomaly.redaction import Redactor
from anomaly.wording import did_you_mean

DISTRIBUTION = "release-anomaly"
EXTRAS = {  # module → the extra that brings it
    "apprise": "apprise",
    "botocore": "aws",
    "defusedxml": "junit",
    "google": "google",
    "holidays": "holidays",
    "junitparser": "junit",
    "matplotlib": "plot",
    "oauthlib": "oauth2",
    "psycopg": "sql",
    "pyarrow": "parquet",
    "python_calamine": "xlsx",
    "uvicorn": "serve",
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of plug-in: what the checklist calls it, its one method, its entry-point group and its
    built-in types."""

    name: str
    method: str
    group: str
    built_in: Mapping[str, str]


COLLECTORS = Kind(
    name="source",
    method="collect",
    group="anomaly.collectors",
    built_in={
        "prometheus": "anomaly.collectors.prometheus:PrometheusCollector",
        "files": "anomaly.collectors.files:FilesCollector",
        "datadog": "anomaly.collectors.datadog:DatadogCollector",
        "loki": "anomaly.collectors.loki:LokiCollector",
        "influxdb": "anomaly.collectors.influxdb:InfluxdbCollector",
        "graphite": "anomaly.collectors.graphite:GraphiteCollector",
        "cloudwatch": "anomaly.collectors.cloudwatch:CloudWatchCollector",
        "elasticsearch": "anomaly.collectors.elasticsearch:ElasticsearchCollector",
        "newrelic": "anomaly.collectors.newrelic:NewRelicCollector",
        "sql": "anomaly.collectors.sql:SqlCollector",
        "junit": "anomaly.collectors.junit:JunitCollector",
    },
)
SINKS = Kind(
    name="sink",
    method="send",
    group="anomaly.sinks",
    built_in={
        "console": "anomaly.sinks.console:ConsoleSink",
        "html": "anomaly.sinks.html:HtmlSink",
        "json": "anomaly.sinks.json_file:JsonSink",
        "jsonl": "anomaly.sinks.jsonl:JsonlSink",
        "github": "anomaly.sinks.github:GithubSink",
        "gitlab": "anomaly.sinks.gitlab:GitlabSink",
        "bitbucket": "anomaly.sinks.bitbucket:BitbucketSink",
        "grafana": "anomaly.sinks.grafana:GrafanaSink",
        "junit": "anomaly.sinks.junit:JunitSink",
        "pushgateway": "anomaly.sinks.pushgateway:PushgatewaySink",
        "textfile": "anomaly.sinks.textfile:TextfileSink",
        "webhook": "anomaly.sinks.webhook:WebhookSink",
        "command": "anomaly.sinks.command:CommandSink",
        "slack": "anomaly.sinks.slack:SlackSink",
        "teams": "anomaly.sinks.teams:TeamsSink",
        "email": "anomaly.sinks.email:EmailSink",
        "apprise": "anomaly.sinks.apprise:AppriseSink",
        "pagerduty": "anomaly.sinks.pagerduty:PagerdutySink",
        "alertmanager": "anomaly.sinks.alertmanager:AlertmanagerSink",
    },
)
RELEASES = Kind(
    name="source of releases",
    method="discover",
    group="anomaly.releases",
    built_in={
        "prometheus": "anomaly.releases.prometheus:PrometheusReleases",
        "git": "anomaly.releases.git:GitReleases",
        "json": "anomaly.releases.json_list:JsonReleases",
        "github": "anomaly.releases.github:GithubReleases",
        "gitlab": "anomaly.releases.gitlab:GitlabReleases",
        "launchdarkly": "anomaly.releases.launchdarkly:LaunchDarklyReleases",
        "unleash": "anomaly.releases.unleash:UnleashReleases",
        "argocd": "anomaly.releases.argocd:ArgocdReleases",
        "ci": "anomaly.releases.ci:CiReleases",
    },
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting stands (`checklist.yaml:7`) and what was written there, `${NAME}` not
    expanded."""

    where: str
    written: Any


@dataclass(frozen=True, slots=True)
class Plugin:
    """A source or sink as the checklist asks for it. Its repr holds no settings, for these hold
    secrets.

    `where` is `checklist.yaml:5: sources.prod`; relative paths start at `folder`. `calendar_zone`
    is the time zone that the checklist names, for times without one.
    """

    type: str
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    where: str = ""
    folder: Path = Path()
    origins: Mapping[str, Origin] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    calendar_zone: str | None = None

    def complaint(self, problem: SettingProblem) -> str:
        """`checklist.yaml:7: sources.prod.url …`, with the line of the setting if it is known."""
        line, _, path = self.where.rpartition(": ")
        origin = self.origins.get(problem.key)
        place = origin.where if origin else line
        name = ".".join(part for part in (path, problem.key) if part)
        return f"{place}: {name} {problem.text}" if place else f"{name} {problem.text}"


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """What is wrong with the setting `key` (or `type`): the text goes on after its name."""

    key: str
    text: str


class _TypeError(Exception):
    """The class of a plug-in can't be had; the text goes on after `type`."""


def collector(plugin: Plugin, **outside: Any) -> Collector:
    """The collector that `plugin` asks for; `outside` holds what the class may be given from
    outside. Raises ChecklistError."""
    instance: Collector = _make(plugin, COLLECTORS, outside)
    return instance


def sink(plugin: Plugin, **outside: Any) -> Sink:
    """The sink that `plugin` asks for; see `collector`."""
    instance: Sink = _make(plugin, SINKS, outside)
    return instance


def release_source(plugin: Plugin, **outside: Any) -> ReleaseSource:
    """The source of releases that `plugin` asks for; see `collector`."""
    instance: ReleaseSource = _make(plugin, RELEASES, outside)
    return instance


def types_of(kind: Kind) -> tuple[str, ...]:
    """The type names of a kind: built-in ones first, then those of installed distributions."""
    others = sorted({entry.name for entry in entry_points(group=kind.group)} - set(kind.built_in))
    return (*kind.built_in, *others)


def problems(plugin: Plugin, kind: Kind) -> list[SettingProblem]:
    """What is wrong with the type and settings of `plugin`; empty if it can be made."""
    try:
        return _prepare(plugin, settings_of(_load(plugin.type, kind)))[1]
    except _TypeError as error:
        return [SettingProblem("type", str(error))]


def is_told_every_look(plugin: Plugin) -> bool:
    """Whether a sink mirrors how a release stands (`Sink`), from its class alone; one that can't be
    had is told news."""
    try:
        return bool(getattr(_load(plugin.type, SINKS), "every_look", False))
    except _TypeError:
        return False


def takes(plugin: Plugin, name: str) -> bool:
    """Whether the class of a source may be given something from outside; one that can't be had
    takes nothing."""
    try:
        return name in outside_of(_load(plugin.type, COLLECTORS))
    except _TypeError:
        return False


def full_settings(plugin: Plugin, kind: Kind) -> dict[str, Any]:
    """The settings of `plugin` as its class gets them, defaults included. Raises ChecklistError."""
    settings = settings_of(_checked_class(plugin, kind))
    return {
        name: setting.default for name, setting in settings.items() if not setting.required
    } | _prepare(plugin, settings)[0]


def built_in_settings(kind: Kind) -> dict[str, Mapping[str, Setting]]:
    """The settings of every built-in type, by type and name."""
    return {name: settings_of(_load(name, kind)) for name in kind.built_in}


def built_in_class(kind: Kind, name: str) -> type:
    """The class of a built-in type."""
    return _load(name, kind)


def _load(name: str, kind: Kind) -> type:
    """The class behind the type `name`; raises _TypeError if it is unknown, broken, or lacks an
    extra."""
    entry = _entry_point(name, kind)
    try:
        target = entry.load() if entry else _built_in(kind.built_in[name])
    except ModuleNotFoundError as error:
        raise _TypeError(_missing_module(name, error)) from error
    except Exception as error:  # a stranger's module may raise anything while it is imported
        raise _TypeError(
            f"is {name!r}, a plug-in that fails to load: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(target, type) or not callable(getattr(target, kind.method, None)):
        raise _TypeError(f"is {name!r}, which is not a {kind.name}: it has no {kind.method}()")
    return target


def _checked_class(plugin: Plugin, kind: Kind) -> type:
    """The class that `plugin` asks for, its settings found to be right; raises ChecklistError."""
    complaints = problems(plugin, kind)
    if complaints:
        raise ChecklistError("\n".join(plugin.complaint(problem) for problem in complaints))
    return _load(plugin.type, kind)


def _make(plugin: Plugin, kind: Kind, outside: Mapping[str, Any]) -> Any:
    made_from = _checked_class(plugin, kind)
    values, _ = _prepare(plugin, settings_of(made_from))
    names = outside_of(made_from)
    outside = {"calendar_zone": plugin.calendar_zone, **outside}
    try:
        return made_from(
            **values, **{name: value for name, value in outside.items() if name in names}
        )
    except ModuleNotFoundError as error:
        raise ChecklistError(
            plugin.complaint(SettingProblem("type", _missing_module(plugin.type, error)))
        ) from error
    except (UsageError, ValueError, TypeError, OSError) as error:
        text = Redactor(plugin.secrets).text(str(error))
        setting, _, rest = text.partition(" ")
        if isinstance(error, UsageError) and setting in plugin.origins:
            raise ChecklistError(plugin.complaint(SettingProblem(setting, rest))) from None
        raise ChecklistError(f"{plugin.where or plugin.type} can't be set up: {text}") from None


def _prepare(
    plugin: Plugin, settings: Mapping[str, Setting]
) -> tuple[dict[str, Any], list[SettingProblem]]:
    """The settings as the class wants them, and what is wrong with them."""
    values: dict[str, Any] = {}
    complaints: list[SettingProblem] = []
    for key, value in plugin.settings.items():
        if key not in settings:
            keys = ", ".join(["type", *settings])
            complaints.append(
                SettingProblem(
                    key, f"is an unknown key{did_you_mean(key, tuple(settings))}; use one of {keys}"
                )
            )
            continue
        try:
            values[key] = coerce(value, settings[key].annotation, plugin.folder)
        except SettingError as error:
            complaints.append(SettingProblem(key, f"{_written(plugin, key)}{error}"))
    for key, setting in settings.items():
        if setting.required and key not in plugin.settings:
            complaints.append(SettingProblem(key, f"is missing; the type {plugin.type} needs it"))
    return values, complaints


def _written(plugin: Plugin, key: str) -> str:
    origin = plugin.origins.get(key)
    if origin is None or is_secret_name(key):
        return f"is {kind_of(plugin.settings[key])}; "
    return f"is {shown(origin.written)}; "


def _entry_point(name: str, kind: Kind) -> EntryPoint | None:
    """The entry point that provides the type, None for a built-in one; raises _TypeError if none or
    several do."""
    if name in kind.built_in:
        return None
    entries = tuple(entry_points(group=kind.group, name=name))
    if not entries:
        raise _TypeError(
            f"is {shown(name)}; use one of "
            f"{', '.join(types_of(kind))}{did_you_mean(name, types_of(kind))}"
        )
    if len({entry.value for entry in entries}) > 1:
        packages = ", ".join(
            sorted(entry.dist.name if entry.dist else entry.value for entry in entries)
        )
        raise _TypeError(
            f"is {name!r}, provided by several packages: {packages}; uninstall all but one"
        )
    return entries[0]


def _built_in(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _missing_module(name: str, error: ModuleNotFoundError) -> str:
    extra = EXTRAS.get((error.name or "").partition(".")[0])
    if extra:
        return f"is {name!r}, which needs an extra: pip install '{DISTRIBUTION}[{extra}]'"
    return f"is {name!r}, which can't be loaded: {error}"
