"""A calendar as an HTML page on stdout. Jinja2, which makes it, is no part of the smallest installation."""

import sys

from dueby_api.errors import Invalid
from dueby_pages.calendar import ShownCalendar


def print_page(shown: ShownCalendar) -> None:
    """Print the page; raise Invalid if what makes pages isn't installed."""
    try:
        from dueby_pages.calendar_page import render_calendar
    except ModuleNotFoundError as error:
        raise Invalid("--output", f"html needs {error.name}; install it with: pip install {error.name}") from error
    sys.stdout.write(render_calendar(shown))
