"""The kinds that are not held yet, each with the reason.

`test_obvious.py` asserts that they are indeed not held. When the method gets better, its failure
names the line to be removed.
"""

from __future__ import annotations

NOT_YET: dict[str, str] = {}
