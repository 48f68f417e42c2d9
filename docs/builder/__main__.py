"""`python -m docs.builder [FOLDER]`: the site, or every problem that keeps it from being made."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.builder.errors import SiteError
from docs.builder.site import ROOT, build


def main(folder: Path) -> int:
    try:
        count = build(folder)
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{count} pages in {folder}/index.html and beside it")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "site"))
