"""Tries a file of a release: installs it into an empty environment, and runs the tool there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from distribution import artifacts
from distribution.errors import ReleaseError

BARE = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}  # an environment without settings


def installs(file: Path, version: str) -> None:
    """Raise ReleaseError unless `file` installs and runs in an empty environment.

    It must install beside nothing but what it requires, in the locked versions, say that it is
    `version`, and judge the sample data.
    """
    with tempfile.TemporaryDirectory() as work:
        environment, home = Path(work) / "environment", Path(work) / "home"
        home.mkdir()
        versions = Path(work) / "versions.txt"
        versions.write_text(artifacts.requirements("--no-hashes"), encoding="utf-8")
        artifacts.uv("venv", "--quiet", "--python", sys.executable, str(environment))
        into = ("--quiet", "--python", str(environment), "--constraints", str(versions))
        artifacts.uv("pip", "install", *into, str(file))
        program = environment / "bin" / "anomaly"
        answer = _answer(program, "--version", home)
        _answer(program, "demo", home)
    if answer.split()[-1] != version:
        raise ReleaseError(f"{file.name} says {answer.strip()}, but pyproject.toml {version}")


def _answer(program: Path, word: str, home: Path) -> str:
    environ = BARE | {"HOME": str(home)}
    command = [str(program), word]
    done = subprocess.run(
        command, cwd=home, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ReleaseError(f"anomaly {word} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout
