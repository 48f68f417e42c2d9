"""The files that let cron, systemd or Kubernetes run `anomaly tick`. Pure: texts from a job,
nothing is installed."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from anomaly.checklist.variables import VARIABLE
from anomaly.errors import UsageError
from anomaly.redaction import is_url
from anomaly.setup.crontab import escaped
from anomaly.timing.durations import duration_text
from anomaly.wording import plain

EVERY = tuple(
    timedelta(minutes=each)
    for each in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440)
)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ENV_FILE = "/etc/anomaly/env"  # NAME=value lines with the variables of the checklist
NOT_IN_A_NAME = re.compile("[^a-z0-9]+")
OTHER_LINE_ENDS = re.compile("[\x85\u2028\u2029\ufeff\r]")  # lost in a block of YAML
LONGEST_NAME = 52  # characters of a CronJob's name
LONGEST_PURPOSE = 80
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
PLAIN_WORD = re.compile(r"[\w@+=:,./-]+", re.ASCII)
NOBODY = 65532  # a user id that means no one
STATE = "/var/lib/anomaly"  # where a history is kept


@dataclass(frozen=True, slots=True)
class Job:
    """`anomaly tick` for one checklist, as it is to be run every so often.

    `program` is what runs anomaly, with absolute paths; `variables` are the names that the
    checklist fills in, `store` where it keeps history ("" for the default), `writes` the folders
    that its history and sinks write to. Raises UsageError for an interval that cron can't say, and
    for paths of several lines.
    """

    checklist: Path
    text: str
    service: str
    program: tuple[str, ...]
    environment: str = ""
    every: timedelta = timedelta(minutes=5)
    variables: tuple[str, ...] = ()
    store: str = ""
    writes: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.every not in EVERY:
            choices = ", ".join(map(duration_text, EVERY))
            raise UsageError(
                f"cron can't run something every {duration_text(self.every)} evenly; use one of "
                f"{choices}"
            )
        for word in (*self.command, *map(str, self.writes)):
            if not word.isprintable():
                raise UsageError(f"{word!r} has line ends or control characters; rename it")

    @property
    def command(self) -> tuple[str, ...]:
        return (*self.program, "tick", str(self.checklist), *self.options)

    @property
    def options(self) -> tuple[str, ...]:
        return ("--environment", self.environment) if self.environment else ()

    @property
    def name(self) -> str:
        """`anomaly-shop-production`: for files, units and objects. Where letters are lost, a digest
        tells the names apart."""
        text = f"anomaly {self.service} {self.environment}".rstrip()
        words = NOT_IN_A_NAME.sub("-", text.lower()).strip("-")
        if text.isascii() and len(words) <= LONGEST_NAME:
            return words
        digest = hashlib.sha256(f"{self.service}\n{self.environment}".encode()).hexdigest()[:8]
        return f"{words[: LONGEST_NAME - 9].strip('-')}-{digest}"

    @property
    def purpose(self) -> str:
        place = f" in {self.environment}" if self.environment else ""
        return (
            f"anomaly looks at the releases of {plain(self.service + place, LONGEST_PURPOSE)} "
            f"every {duration_text(self.every)}"
        )

    @property
    def schedule(self) -> str:
        """The five fields of cron."""
        if self.every < HOUR:
            return f"{_each(self.every // MINUTE)} * * * *"
        return f"0 {'0' if self.every == DAY else _each(self.every // HOUR)} * * *"


def cron(job: Job, user: str = "") -> str:
    """A crontab of one line, or with `user` a file of /etc/cron.d. Raises UsageError if the line is
    too long for cron."""
    secrets = f"set -a; . {ENV_FILE}; set +a; " if job.variables else ""
    command = escaped(f"{secrets}{shlex.join(job.command)} >/dev/null")
    where = f"/etc/cron.d/{job.name}" if user else "crontab -e"
    return "\n".join(
        [
            f"# {job.purpose}. Put this into: {where}",
            *(
                [
                    (
                        f"# {ENV_FILE} sets {', '.join(job.variables)}: NAME=value lines that "
                        "only this user can read."
                    )
                ]
                if job.variables
                else []
            ),
            "# cron mails errors to MAILTO, by default to the user.",
            "#MAILTO=you@example.com",
            "SHELL=/bin/sh",
            "PATH=/usr/local/bin:/usr/bin:/bin",
            " ".join([job.schedule, *([_user(user)] if user else []), command]),
        ]
    )


def systemd(job: Job, user: str) -> dict[str, str]:
    """A service and its timer, by file name. Raises UsageError for what is not a user name."""
    secrets = [
        f"# NAME=value lines, readable by root only: {', '.join(job.variables)}",
        f"EnvironmentFile={ENV_FILE}",
    ]
    home = "read-only" if any(_at_home(each) for each in job.command) else "yes"
    by_env = (
        [] if PLAIN_WORD.fullmatch(job.program[0]) else ["/usr/bin/env"]
    )  # an executable may have no quotes, an argument may
    write_access = (
        [f"ReadWritePaths={' '.join(_word(str(each)) for each in job.writes)}"]
        if job.writes
        else []
    )
    service = [
        "[Unit]",
        f"Description={job.purpose.replace('%', '%%')}",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        f"ExecStart={' '.join(_word(each).replace('$', '$$') for each in (*by_env, *job.command))}",
        *(secrets if job.variables else []),
        f"# Run once: useradd --system --home-dir {STATE} --shell /usr/sbin/nologin {_user(user)}",
        f"User={user}",
        f"# The history, unless the checklist sets store: {STATE}/history.db",
        "StateDirectory=anomaly",
        "Environment=XDG_STATE_HOME=%S",
        "TimeoutStartSec=15min",
        (
            "# Exit codes 1 (a KPI failed) and 3 (undecided) are results; other codes are "
            "failures of this unit."
        ),
        "SuccessExitStatus=1 3",
        "",
        "ProtectSystem=strict",
        *write_access,
        f"ProtectHome={home}",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "ProtectClock=yes",
        "ProtectControlGroups=yes",
        "ProtectHostname=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "ProtectProc=invisible",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "LockPersonality=yes",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallErrorNumber=EPERM",
    ]
    timer = [
        "[Unit]",
        f"Description={job.purpose.replace('%', '%%')}",
        "",
        "[Timer]",
        f"OnCalendar={_calendar(job.every)}",
        "AccuracySec=10s",
        "Persistent=true",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return {f"{job.name}.service": "\n".join(service), f"{job.name}.timer": "\n".join(timer)}


def kubernetes(job: Job, image: str) -> str:
    """The checklist as a ConfigMap, a volume for a history in a file, and the CronJob, as YAML."""
    import yaml

    in_database = is_url(job.store) or VARIABLE.search(job.store) is not None
    objects = [
        _config(job),
        *([] if in_database else [_volume(job)]),
        _cron_job(job, image, in_database=in_database),
    ]
    head = [f"# {job.purpose}. kubectl apply -f this"]
    if job.variables:
        head += [
            (
                f"# The Secret {job.name} has {', '.join(job.variables)}. To create it from a "
                "file of NAME=value lines:"
            ),
            f"#   kubectl create secret generic {job.name} --from-env-file=FILE",
        ]
    if job.writes:
        head.append(
            "# A pod can write only to /tmp, which is lost with it: let sinks that write "
            "files use a volume, or remove them."
        )
    return (
        "\n".join(head)
        + "\n"
        + yaml.dump_all(
            objects, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=120
        ).rstrip()
    )


def _config(job: Job) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(job),
        "data": {"checklist.yaml": job.text},
    }


def _volume(job: Job) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(job),
        "spec": spec,
    }


def _cron_job(job: Job, image: str, *, in_database: bool) -> dict[str, Any]:
    secrets = [
        {"name": each, "valueFrom": {"secretKeyRef": {"name": job.name, "key": each}}}
        for each in job.variables
    ]
    container = {
        "name": "tick",
        "image": image,
        "command": ["anomaly", "tick", "/etc/anomaly/checklist.yaml", *job.options],
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108  a volume of the pod's own
            *([] if in_database else [{"name": "ANOMALY_STORE", "value": f"{STATE}/history.db"}]),
            *secrets,
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "checklist", "mountPath": "/etc/anomaly", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  as above
            *([] if in_database else [{"name": "history", "mountPath": STATE}]),
        ],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY,
            "runAsGroup": NOBODY,
            "fsGroup": NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "checklist", "configMap": {"name": job.name}},
            {"name": "tmp", "emptyDir": {}},
            *(
                []
                if in_database
                else [{"name": "history", "persistentVolumeClaim": {"claimName": job.name}}]
            ),
        ],
    }
    spec = {
        "schedule": job.schedule,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 60,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {
            "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 900, "template": {"spec": pod}}
        },
    }
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": _metadata(job), "spec": spec}


def _metadata(job: Job) -> Mapping[str, Any]:
    return {
        "name": job.name,
        "labels": {"app.kubernetes.io/name": "anomaly", "app.kubernetes.io/instance": job.name},
    }


def _each(number: int) -> str:
    return "*" if number == 1 else f"*/{number}"


def _user(name: str) -> str:
    if not USER.fullmatch(name):
        raise UsageError(f"{name!r} is not a user name")
    return name


def _calendar(every: timedelta) -> str:
    """The interval as OnCalendar says it."""
    if every < HOUR:
        return f"*:0/{every // MINUTE}"
    return "00:00" if every == DAY else f"0/{every // HOUR}:00"


def _word(text: str) -> str:
    """A word of a line in a unit file, `%` and what separates words made harmless."""
    text = text.replace("%", "%%")
    if PLAIN_WORD.fullmatch(text):
        return text
    inside = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inside}"'


def _at_home(word: str) -> bool:
    return word.startswith(("/home/", "/root/", "/run/user/"))


def _dumper() -> type:
    """A dumper that writes text of several lines as it stands."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        style = '"' if OTHER_LINE_ENDS.search(value) else "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper
