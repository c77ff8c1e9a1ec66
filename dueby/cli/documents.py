"""An answer on stdout as `-o` asks for it: for scripts as JSON or YAML, for people as a page; nothing else is there."""

import argparse
import json
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any

from dueby.inputs.files import to_yaml
from dueby.inputs.pools import COMPARE
from dueby_api.errors import Invalid
from dueby_pages.calendar import ShownCalendar


def add_output(parser: argparse.ArgumentParser, *more: str) -> None:
    """Add the argument `-o` of a subcommand that shows a calendar, with more formats if it has some."""
    parser.add_argument(
        "-o",
        "--output",
        choices=("table", "json", "yaml", "html", *more),
        default="table",
        help="format (default: %(default)s); html is a page with a chart of the devices over time",
    )


def require_shown(output: str, *, curve: str | None, compared: Sequence[str], is_one_job: bool) -> None:
    """Raise Invalid for a curve or a comparison of what has none, and for a format that it is not shown in."""
    for option in (*(["--curve"] if curve else []), *([COMPARE] if compared else [])):
        if not is_one_job:
            raise Invalid(option, "takes one job at a time, and a pool without capacity that comes and goes")
    if compared and (curve or output in ("html", "svg")):
        raise Invalid(COMPARE, "is a table, or json or yaml (-o), and no curve; leave the other option out")
    if output == "svg" and not curve:
        raise Invalid("-o", "svg is the picture of a curve; add --curve, or take html")


def print_document(document: dict[str, Any], output: str) -> None:
    """Print the document on stdout, as JSON or as YAML."""
    sys.stdout.write(
        json.dumps(document, indent=2, ensure_ascii=False) + "\n" if output == "json" else to_yaml(document)
    )


def print_page(calendar: ShownCalendar) -> None:
    """Print a calendar on stdout as an HTML page."""
    from dueby_pages.calendar_page import render_calendar  # Jinja2 takes a tenth of a second to import

    sys.stdout.write(render_calendar(calendar))


def print_calendar(
    document: Callable[[], dict[str, Any]],
    shown: Callable[[], ShownCalendar],
    output: str,
    *,
    notes: Collection[str] = (),
    is_verbose: bool = False,
) -> None:
    """Print a calendar on stdout: a table or a page for people, or the document for scripts; warnings go to stderr.

    Those of the warnings that are `notes` are shown in full if it is to be verbose.
    """
    if output in ("json", "yaml"):
        print_document(document(), output)
    elif output == "html":
        print_page(shown())
    else:
        # Imported here because rich takes 50 ms, which a script shall not pay.
        from dueby.cli.calendar_table import print_table

        print_table(shown(), notes=notes, is_verbose=is_verbose)
