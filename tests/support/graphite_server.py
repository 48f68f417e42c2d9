"""Serve Graphite's web application on loopback with given series; run by Debian's own Python.

graphite-python graphite_server.py FOLDER HOST:PORT

`FOLDER/series.json` holds by name of a metric, `shop.orders` or `orders;country=DE`, its archives
(seconds a point, points, as whisper takes them) and its points (seconds since 1970, value).
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from wsgiref.simple_server import make_server

SETTINGS = """
SECRET_KEY = "unused"
STORAGE_DIR = WHISPER_DIR = LOG_DIR = {folder!r}
INDEX_FILE = {folder!r} + "/index"
LOG_FILE_INFO = LOG_FILE_EXCEPTION = LOG_FILE_CACHE = LOG_FILE_RENDERING = "-"
CARBONLINK_HOSTS = []
TIME_ZONE = "Asia/Kolkata"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}}
ALLOWED_HOSTS = ["127.0.0.1"]
"""


class Undrawn(ModuleType):
    """Stands for the library that draws pictures, which no test asks for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Undrawn(name)


def write(folder: Path) -> list[str]:
    """Write the series where Graphite looks for them; the names of those with tags."""
    whisper = importlib.import_module("whisper")
    utils = importlib.import_module("graphite.tags.utils")
    tagged = []
    for name, series in json.loads((folder / "series.json").read_text()).items():
        place = name.replace(".", "/")
        if ";" in name:
            place = utils.TaggedSeries.encode(name, sep="/", hash_only=True)
            tagged.append(name)
        path = folder / f"{place}.wsp"
        path.parent.mkdir(parents=True, exist_ok=True)
        archives = [tuple(each) for each in series["archives"]]
        whisper.create(str(path), archives, 0.0, "sum", sparse=True)
        whisper.update_many(str(path), series["points"])
    return tagged


def main(folder: Path, address: str) -> None:
    sys.path.insert(0, str(folder))
    (folder / "own_settings.py").write_text(SETTINGS.format(folder=str(folder)))
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "graphite.settings",
        "GRAPHITE_SETTINGS_MODULE": "own_settings",
    }
    sys.modules["cairocffi"] = Undrawn("cairocffi")
    application = importlib.import_module("graphite.wsgi").application
    if tagged := write(folder):
        importlib.import_module("django.core.management").call_command(
            "migrate", run_syncdb=True, verbosity=0
        )
        tags = importlib.import_module("graphite.storage").STORE.tagdb
        for name in tagged:
            tags.tag_series(name)
    host, _, port = address.partition(":")
    make_server(host, int(port), application).serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
