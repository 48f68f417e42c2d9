"""One HTML file with everything in it: style, scripts and data. Nothing but what stands in it can
run (Content-Security-Policy)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent
HARMLESS = (
    ("<", "\\u003c"),
    (">", "\\u003e"),
    ("&", "\\u0026"),
)  # the same text to JSON, no markup to HTML


def document(
    template: str,
    *,
    styles: Sequence[str],
    scripts: Sequence[str],
    data: Mapping[str, Any],
    **context: Any,
) -> str:
    """The template filled with `context`, whose texts are escaped, with these files of the folder
    as its one style and script.

    `data` stands in it as JSON, in an element that is not run.
    """
    style, script = ("\n".join(_file(name) for name in names) for names in (styles, scripts))
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return (
        _templates()
        .get_template(template)
        .render(
            policy=policy,
            style=Markup(style),  # noqa: S704  our own
            script=Markup(script),  # noqa: S704  our own
            data=Markup(embedded(data)),  # noqa: S704  made harmless
            **context,
        )
    )


def embedded(data: Mapping[str, Any]) -> str:
    """JSON that can stand inside a `script` element whatever text is in it."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character, written in HARMLESS:
        text = text.replace(character, written)
    return text


@cache
def _templates() -> Environment:
    return Environment(
        autoescape=True,
        loader=FileSystemLoader(FOLDER),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """How a policy names a text that may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
