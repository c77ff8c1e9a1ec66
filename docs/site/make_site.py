"""`python docs/site/make_site.py FOLDER`: make the documents into a site, in FOLDER/html. `make docs` calls it.

The documents stay where a reader of the repository finds them. A copy of them is laid out for Sphinx in FOLDER/pages,
with links as the site needs them (site_pages.py) and beside the pages that are made from the code (site_reference.py).
Sphinx reads it with MyST, and any warning, such as a link that leads nowhere, is an error. Nothing is downloaded.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from site_pages import Pages
from site_reference import made_pages

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]


def main() -> int:
    """Make the site and return Sphinx's exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where pages/ and html/ go; both are made again")
    folder: Path = parser.parse_args().folder
    # On a terminal, argparse would colour the usages from Python 3.14 on.
    os.environ["NO_COLOR"] = "1"
    pages, html = folder / "pages", folder / "html"
    for old in (pages, html):
        shutil.rmtree(old, ignore_errors=True)
    made = made_pages(REPOSITORY)
    Pages(root=REPOSITORY, made={page.source: page.name for page in made}).write(pages)
    for page in made:
        (pages / page.name).parent.mkdir(parents=True, exist_ok=True)
        (pages / page.name).write_text(page.text)
    sphinx = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--nitpicky", "-b", "html"]
    return subprocess.call([*sphinx, "-c", HERE, "-d", folder / "cache", pages, html])


if __name__ == "__main__":
    sys.exit(main())
