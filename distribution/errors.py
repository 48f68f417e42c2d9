"""What stops a release."""

from __future__ import annotations


class ReleaseError(Exception):
    """A promise of the release that does not hold; its text says what to change."""
