"""One self-contained HTML file: style, scripts and data. No other code can run
(Content-Security-Policy)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent
ESCAPES = (
    ("<", "\\u003c"),
    (">", "\\u003e"),
    ("&", "\\u0026"),
)  # the same text in JSON, no markup in HTML


@dataclass(frozen=True, slots=True)
class Live:
    """What a page that is served says of itself: when it shows more, as markup, and where its
    `links` lead (text and address)."""

    words: Markup
    links: Sequence[tuple[str, str]] = ()


def document(
    template: str,
    *,
    styles: Sequence[str],
    scripts: Sequence[str],
    data: Mapping[str, Any],
    live: Live | None = None,
    **context: Any,
) -> str:
    """The template filled with `context`, with these files of the folder as its style and script.

    Texts of `context` are escaped; `data` is embedded as JSON in an element that does not run.
    `live` is said above all else.
    """
    style = "\n".join(_file(name) for name in styles)
    script = "\n".join(_file(name) for name in scripts)
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
            style=Markup(style),  # noqa: S704  a file of this folder
            script=Markup(script),  # noqa: S704  a file of this folder
            data=Markup(embedded(data)),  # noqa: S704  escaped by embedded()
            live=live,
            **context,
        )
    )


def embedded(data: Mapping[str, Any]) -> str:
    """JSON that is safe inside a `script` element, whatever text it holds."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    for character, escape in ESCAPES:
        text = text.replace(character, escape)
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
    """The name of a text that may run, as the policy writes it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
