"""An answer on stdout as `-o` asks for it: for scripts as JSON or YAML, for people as a page; nothing else is there."""

import argparse
import json
import sys
from typing import Any

from dueby.inputs.files import to_yaml
from dueby_pages.calendar import ShownCalendar


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the argument `-o` of a subcommand that shows a calendar."""
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json", "yaml", "html"),
        default="table",
        help="format (default: %(default)s); html is a page with a chart of the devices over time",
    )


def print_document(document: dict[str, Any], output: str) -> None:
    """Print the document on stdout, as JSON or as YAML."""
    sys.stdout.write(
        json.dumps(document, indent=2, ensure_ascii=False) + "\n" if output == "json" else to_yaml(document)
    )


def print_page(calendar: ShownCalendar) -> None:
    """Print a calendar on stdout as an HTML page."""
    from dueby_pages.calendar_page import render_calendar  # Jinja2 takes a tenth of a second to import

    sys.stdout.write(render_calendar(calendar))
