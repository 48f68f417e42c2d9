"""The files of a release.

The same commit gives the same bytes: the tools are those of `uv.lock`, the time is the commit's.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from distribution.errors import ReleaseError
from distribution.readiness import ROOT, git

HASHES = "SHA256SUMS"
MATERIALS = "sbom.cdx.json"
REQUIREMENTS = "requirements.txt"
UV = Path(sys.executable).parent / "uv"
EXPORT = (
    *("export", "--frozen", "--no-dev", "--all-extras", "--no-emit-project", "--no-header"),
    *("--preview-features", "sbom-export"),
)


def build(folder: Path, time: int) -> None:
    """Write the sdist into `folder`, and the wheel made from that sdist.

    `time` (epoch seconds) is that of the files in them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    here = ("--no-build-isolation", "--python", sys.executable)
    into = ("--no-create-gitignore", "--out-dir", str(folder))
    uv("build", *here, *into, SOURCE_DATE_EPOCH=str(time))


def requirements(*more: str) -> str:
    """The locked version of all that the tool and its extras need, with hashes, as pip reads it."""
    return uv(*EXPORT, "--no-annotate", "--format", "requirements.txt", *more)


def materials(time: int) -> dict[str, Any]:
    """The same packages as a bill of materials in CycloneDX 1.5, dated `time` (epoch seconds)."""
    bill: dict[str, Any] = json.loads(uv(*EXPORT, "--format", "cyclonedx1.5"))
    bill.pop("serialNumber")  # chance; another is made of the content
    bill["metadata"]["timestamp"] = (
        datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")
    )
    return bill | {
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(bill, sort_keys=True)).urn
    }


def hashes(files: Iterable[Path]) -> str:
    """The SHA-256 of each file, as `sha256sum --check` reads it."""
    return "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(files)
    )


def commit_time() -> int:
    """When the commit that is checked out was made, in epoch seconds."""
    (line,) = git(ROOT, "log", "-1", "--format=%ct")
    return int(line)


def uv(*words: str, **environment: str) -> str:
    """What uv prints. Raises ReleaseError with what it complains of."""
    command, environ = [str(UV), *words], os.environ | environment
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ReleaseError(f"uv {words[0]}: {done.stderr.strip()}")
    return done.stdout
