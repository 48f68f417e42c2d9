"""`${NAME}` in the settings of sources and sinks: filled from the environment, once; and which
values are secret.

These are secret, and masked wherever the tool writes text:
- a value whose setting, header or variable is named like a secret (`password`, `API_TOKEN`,
  `X-Api-Key`)
- the password, query values and fragment of a URL, a user without a password, and a user or parts
  of the path that look like tokens; if the URL comes from the environment, the whole path, because
  it is often the key itself. Not the user and path of a database
- any other value from the environment that looks like a token, unless the setting is a path

Secrets under four characters can't be masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from anomaly.checklist.strict_yaml import KeyPath, shown
from anomaly.redaction import Secret, is_database, is_url, looks_like_token, url_secrets

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SECRET_NAME = re.compile(
    r"(?:(?:^|[^a-z])(?:auth|key|pwd)|apikey|authorization|cookie|credential|passphrase|passwd|password|secret|token)s?$"
)
PATH_WORDS = frozenset({"dir", "file", "folder", "path"})
WORD_BREAK = re.compile(r"[^a-z0-9]+")
SHORTEST_PATH = 8  # characters; a shorter path of a URL stands in too many harmless places


@dataclass(slots=True)
class Filled:
    """Settings with their variables filled in, the secrets among them, and what is wrong, by key
    path inside them."""

    settings: Any = None
    secrets: set[str] = field(default_factory=set)
    problems: list[tuple[KeyPath, str]] = field(default_factory=list)


def fill(settings: Mapping[str, Any], environ: Mapping[str, str]) -> Filled:
    """The settings with every `${NAME}` in a text replaced by its value, which stays text and is
    not looked at again."""
    out = Filled()
    out.settings = _filled(settings, (), environ, out)
    return out


def written_out(settings: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """The credentials that stand in the settings themselves: their key path and what to do."""
    for path, text in _texts(settings, ()):
        if is_secret_name(_name(path)) and not VARIABLE.search(text):
            yield path, "holds a credential; put it into an environment variable and write ${NAME}"
        elif _credential_in_url(text):
            yield (
                path,
                (
                    "is a URL that holds a credential; put the URL or the credential into an "
                    "environment variable and write ${NAME}"
                ),
            )


def is_secret_name(name: str) -> bool:
    """Whether a setting, header or variable of this name holds a secret: by its end."""
    return SECRET_NAME.search(name.casefold().strip("_- ")) is not None


def _filled(value: Any, path: KeyPath, environ: Mapping[str, str], out: Filled) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(inside, (*path, key), environ, out) for key, inside in value.items()}
    if isinstance(value, list):
        return [_filled(inside, (*path, index), environ, out) for index, inside in enumerate(value)]
    return _filled_text(value, path, environ, out) if isinstance(value, str) else value


def _filled_text(text: str, path: KeyPath, environ: Mapping[str, str], out: Filled) -> str:
    names = VARIABLE.findall(text)
    for name in names:
        if not environ.get(name):
            state = "empty" if name in environ else "not set"
            out.problems.append(
                (path, f"uses ${{{name}}}, but the environment variable {name} is {state}")
            )
    if "${" in VARIABLE.sub("", text):
        out.problems.append(
            (
                path,
                f"is {shown(text)}; write a variable as ${{NAME}}, with letters, digits and _ only",
            )
        )
    value = VARIABLE.sub(lambda match: environ.get(match[1], ""), text)
    secrets = _secrets(_name(path), value, {name: environ.get(name, "") for name in names})
    out.secrets |= secrets
    return Secret(value) if secrets else value


def _secrets(setting: str, text: str, values: Mapping[str, str]) -> set[str]:
    """The secrets in a filled text, by the rules at the top of this file."""
    secrets = set(url_secrets(text)) if is_url(text) else set()
    if is_secret_name(setting):
        secrets.add(text)
    for name, value in values.items():
        if is_url(value):
            secrets |= {*url_secrets(value), *_whole_path(value)}
        elif (
            is_secret_name(setting)
            or is_secret_name(name)
            or (looks_like_token(value) and _last_word(setting) not in PATH_WORDS)
        ):
            secrets.add(value)
    return secrets - {""}


def _whole_path(url: str) -> set[str]:
    if is_database(url):
        return set()
    path = url.partition("://")[2].partition("?")[0].partition("#")[0].partition("/")[2].rstrip("/")
    return {path} if len(path) >= SHORTEST_PATH else set()


def _credential_in_url(text: str) -> bool:
    if not is_url(text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    password = parts.netloc.rpartition("@")[0].partition(":")[2]
    pairs = [("password", password), *parse_qsl(parts.query)]
    return any(
        value and is_secret_name(name) and not VARIABLE.search(value) for name, value in pairs
    )


def _texts(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, Mapping):
        for key, inside in value.items():
            yield from _texts(inside, (*path, key))
    elif isinstance(value, list):
        for index, inside in enumerate(value):
            yield from _texts(inside, (*path, index))
    elif path and value is not None and not isinstance(value, bool):
        yield path, str(value)


def _name(path: KeyPath) -> str:
    """The nearest name around a value; an entry of a list is named like the list."""
    return next((part for part in reversed(path) if isinstance(part, str)), "")


def _last_word(name: str) -> str:
    return WORD_BREAK.split(name.casefold().strip("_- "))[-1]
