"""A terminal with what a command prints on it, as SVG that asks nobody for a font."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from docs.builder.errors import SiteError

COLUMNS = 80
FOREIGN = re.compile(
    r"@font-face \{.*?\}\s*|<!-- .*?-->\s*", re.DOTALL
)  # fonts that rich would load from another host
MONOSPACE = (
    "font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
)
THEME = TerminalTheme(
    (22, 27, 34),
    (225, 228, 232),
    [
        (72, 79, 88),
        (255, 123, 114),
        (126, 211, 133),
        (227, 179, 65),
        (121, 192, 255),
        (210, 168, 255),
        (118, 227, 234),
        (177, 186, 196),
    ],
    [
        (110, 118, 129),
        (255, 161, 152),
        (86, 211, 100),
        (234, 197, 79),
        (165, 214, 255),
        (226, 197, 255),
        (179, 240, 255),
        (255, 255, 255),
    ],
)


def terminal(command: str, root: Path, *, unique: str) -> str:
    """A picture of a terminal of 80 columns after `command`, run in `root`. Raises SiteError if the
    tool failed."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {command}", style="bold"))
    console.print(Text.from_ansi(printed(command, root).rstrip()))
    svg = console.export_svg(title="anomaly", theme=THEME, unique_id=unique)
    return re.sub(r"font-family: [^;]*", MONOSPACE, FOREIGN.sub("", svg))


def printed(command: str, root: Path) -> str:
    """What `command` writes to a terminal."""
    keeper, end = pty.openpty()
    scripts = Path(sys.executable).parent
    environ = {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": str(COLUMNS),
        "TERM": "xterm-256color",
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
    }
    line = ["/bin/bash", "-c", command]
    with subprocess.Popen(
        line, stdout=end, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=root, env=environ
    ) as process:
        os.close(end)
        written = b"".join(iter(lambda: _read(keeper), b""))
    os.close(keeper)
    if process.returncode not in (0, 1, 3):  # the answers of a judged release
        raise SiteError(f"`{command}` ended with {process.returncode}, so there is nothing to show")
    return written.decode().replace("\r\n", "\n")


def _read(keeper: int) -> bytes:
    try:
        return os.read(keeper, 65536)
    except OSError:  # Linux says so when the other end is closed
        return b""
