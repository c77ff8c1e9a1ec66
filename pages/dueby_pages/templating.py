"""HTML pages from Jinja2 templates: the one place where the library is set up.

Every page must be safe with hostile text in it and must load nothing: a template gets plain values, each value is
escaped as it is printed, and the style sheet is put into the page. Numbers and times are written by filters
(`{{ run.end_s | duration }}`), so that they look the same on every page.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from dueby_api.untrusted import printable, without_credentials
from dueby_pages.wording import change, counted, duration, fine, moment, number, percent

_FILTERS: Mapping[str, Callable[..., str]] = {
    "change": change,
    "counted": counted,
    "duration": duration,
    "fine": fine,
    "moment": moment,
    "number": number,
    "percent": percent,
    "without_credentials": without_credentials,
}


@dataclass(frozen=True, kw_only=True)
class Sign:
    """How a verdict looks."""

    name: str
    tone: str
    """Class of the style sheet that gives the colour."""
    icon: str
    """Path in a box of 16."""


def render(template: str, /, *, package: str = "dueby_pages", **values: object) -> str:
    """Return the page that a template in the `templates` folder of a package makes of the values.

    Templates of other packages may extend and import those of this one.
    """
    return _environment(package).get_template(template).render(**values)


@cache
def _environment(package: str) -> Environment:
    folders = dict.fromkeys((package, "dueby_pages"))
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(folder) for folder in folders]),
        # Always, and not by file name: select_autoescape() looks for .html at the end, and ours end with .j2.
        autoescape=True,
        # A misspelt name is an error instead of a hole in the page.
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(_FILTERS)
    environment.globals["style"] = files("dueby_pages").joinpath("style.css").read_text(encoding="utf-8")
    return environment


def _finalize(value: object) -> object:
    """Return what to print for a value, before it is escaped; markup (a chart, a macro's output) stays as it is."""
    if value is None or hasattr(value, "__html__"):
        return "" if value is None else value
    return printable(str(value))
