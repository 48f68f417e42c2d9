"""Load a report from a file or from the history."""

from __future__ import annotations

import os
from pathlib import Path

from anomaly.reporting import archive
from anomaly.reporting.report import Report

STORE = "ANOMALY_STORE"  # the environment variable that names the history


def load(name: str | os.PathLike[str], *, store: str | None = None) -> Report:
    """The report in a file (`.html` of `--report`, or `.json`, which holds no points), or the
    report with an id in the history.

    The id, or a unique prefix of it, is that of a look; for a release or finding, its last look
    counts. The history is `store`, a path or a postgresql:// URL; by default that of
    $ANOMALY_STORE, else the default one. Raises UsageError if there is no such report, and
    StoreError.
    """
    if archive.is_file(name):
        return archive.read(Path(name))[0]
    from anomaly.history.database_file import default_path
    from anomaly.history.store import Store

    with Store(store or os.environ.get(STORE) or str(default_path())) as history:
        return history.report(history.look_of(history.find(str(name))))
