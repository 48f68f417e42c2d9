"""What all query languages share: quoted text, and the arguments of a function."""

from __future__ import annotations

import re
from collections.abc import Iterator

QUOTED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|`[^`]*`", re.DOTALL)
FILLER = "\0"  # no query that is carried over holds one
STEP = "$step"


def masked(text: str) -> str:
    """The text with fillers in place of all that is quoted: places in it are those of the text."""
    return QUOTED.sub(lambda match: FILLER * len(match[0]), text)


def parts(bare: str, begin: int = 0) -> Iterator[tuple[int, int]]:
    """Where the parts between commas lie in a masked text, up to the parenthesis that closes, or to
    the end; what stands in parentheses and braces is not divided."""
    depth, first = 0, begin
    for place in range(begin, len(bare)):
        sign = bare[place]
        if sign in "([{":
            depth += 1
        elif sign in ")]}":
            if depth == 0:
                yield first, place
                return
            depth -= 1
        elif sign == "," and depth == 0:
            yield first, place
            first = place + 1
    yield first, len(bare)


def address_or(address: str, variable: str) -> str:
    """The address, if it is one without placeholders, name or password, else the variable."""
    return address if re.fullmatch(r"https?://[^\s?#${}@]+", address) else f"${{{variable}}}"
