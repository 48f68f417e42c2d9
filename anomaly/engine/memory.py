"""The memory of a process that judges: what it gives back, it soon needs again."""

from __future__ import annotations

import ctypes

# of mallopt(3) of the GNU C library, with the values that are set
TRIM_THRESHOLD, KEPT = -1, 128 << 20  # bytes that are free before any goes back to the system
MMAP_THRESHOLD, APART = -3, 32 << 20  # bytes from which an array goes back at once


def keep_freed() -> None:
    """Let the C library keep what is freed, for the next arrays: what it takes from the system anew
    comes page by page, each with a fault. Another library than GNU's is left as it is."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(MMAP_THRESHOLD, APART)
    mallopt(TRIM_THRESHOLD, KEPT)
