"""The picture of a report that the README shows: the top of a run's page, down to its charts, in a browser.

    make demo
    python benchmarks/report_picture.py build/demo/results --output docs/figures/report.png     # needs Chromium

The README shows what that run printed, too: both are of one run.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from dueby.cli.main import main as dueby
from support.browser import open_browser

WIDTH = 1280
# Where the last section ends that is shown.
BOTTOM = """
    [...document.querySelectorAll('section')].find(section => section.innerText.startsWith('Images over time'))
        .getBoundingClientRect().bottom + 32
"""


def main() -> None:
    """Make the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sink", help="folder of the results")
    parser.add_argument("--output", required=True, type=Path, help="PNG to write")
    parser.add_argument("--browser", default="chromium", help="program to start (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        dueby(["report", options.sink, "--output", str(page)])
        with open_browser(options.browser, profile=Path(folder) / "browser") as browser:
            browser.open(page, width=WIDTH)
            options.output.write_bytes(browser.picture(height=browser.ask(BOTTOM)))


if __name__ == "__main__":
    main()
