"""Whether this commit may be released.

`python -m distribution.readiness` names all that is missing, and ends with 1.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECTION = re.compile(
    r"^## \[(?P<version>[^\]]+)\](?: - (?P<day>\d{4}-\d{2}-\d{2}))?$\n(?P<body>.*?)(?=^## |\Z)",
    re.MULTILINE | re.DOTALL,
)
ENTRY = re.compile(r"^- ", re.MULTILINE)


def project_version(folder: Path = ROOT) -> str:
    """The version that `pyproject.toml` names."""
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    version: str = tomllib.loads(text)["project"]["version"]
    return version


def tag(version: str) -> str:
    return f"v{version}"


def changelog_problems(text: str, version: str) -> Iterator[str]:
    """What the change log still lacks for `version`."""
    sections = {section["version"]: section for section in SECTION.finditer(text)}
    heading = f"## [{version}] - YYYY-MM-DD"
    if version not in sections:
        yield f"CHANGELOG.md: no section '{heading}'; give the entries of [Unreleased] that heading"
        return
    section = sections[version]
    if section["day"] is None:
        yield f"CHANGELOG.md: the section [{version}] has no day; its heading is '{heading}'"
    if not ENTRY.search(section["body"]):
        yield f"CHANGELOG.md: the section [{version}] has no entry"
    if "Unreleased" not in sections:
        yield "CHANGELOG.md: no section '## [Unreleased]' for what comes next"
    elif ENTRY.search(sections["Unreleased"]["body"]):
        yield f"CHANGELOG.md: [Unreleased] has entries; move them into [{version}]"


def commit_problems(folder: Path, version: str) -> Iterator[str]:
    """What of the git repository in `folder` speaks against `version`: changes, or a wrong tag."""
    if changed := git(folder, "status", "--porcelain"):
        first = changed[0].split()[-1]
        yield f"git: commit what changed first: {first}, {len(changed)} in all"
    here = git(folder, "tag", "--points-at", "HEAD")
    for other in here:
        if other.startswith("v") and other != tag(version):
            yield f"git: this commit has the tag {other}, but pyproject.toml says {version}"
    if tag(version) not in here and git(folder, "tag", "--list", tag(version)):
        yield f"git: another commit has the tag {tag(version)}; raise the version in pyproject.toml"


def problems(folder: Path = ROOT) -> list[str]:
    """All that speaks against a release of the commit in `folder`."""
    version = project_version(folder)
    text = (folder / "CHANGELOG.md").read_text(encoding="utf-8")
    return [*changelog_problems(text, version), *commit_problems(folder, version)]


def git(folder: Path, *words: str) -> list[str]:
    """The lines that git prints about the repository in `folder`."""
    command = ["git", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def main() -> int:
    found = problems()
    sys.stderr.writelines(f"{each}\n" for each in found)
    if not found:
        print(f"this commit may be released as {tag(project_version())}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
