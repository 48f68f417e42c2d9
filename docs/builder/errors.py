"""Why a site can't be made."""

from __future__ import annotations


class SiteError(Exception):
    """The site can't be made; the text says each reason in a line: where, what was found, what to
    do."""
