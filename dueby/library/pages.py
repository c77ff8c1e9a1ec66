"""What a notebook shows: an HTML page of the command's in a frame, where its styles and the notebook's don't meet.

The pages load nothing and have no script, and the frame would let none run. It is as high as its page: the notebook's
side of it sees to that, for which both are of one origin.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, TypeVar

from dueby_api.schema import Spec

if TYPE_CHECKING:
    from dueby_pages.charts.svg import Markup


class WithPage:
    """A document that a notebook shows as a page. It is no field of the document, and drawn when it is asked for."""

    def _repr_html_(self) -> str | None:
        make: Callable[[], str] | None = self.__dict__.get("page")
        return framed(make) if make else None


Shown = TypeVar("Shown", bound=WithPage)


def with_page(kind: Callable[..., Shown], document: Spec, page: Callable[[], str] | None) -> Shown:
    """Return the document as this kind of one, with a page if there is one."""
    shown = kind(**{name: getattr(document, name) for name in document.__struct_fields__})
    if page is not None:
        shown.__dict__["page"] = page
    return shown


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table with a sentence, and a chart if there is one."""

    heading: str
    lead: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    are_numbers: bool = False
    """Whether the columns hold numbers, rather than texts."""
    chart: "Markup | None" = None
    is_picture: bool = False
    """Whether the chart is a picture of a fixed size, rather than as wide as the page."""


# Where a notebook runs no handlers, which those of others may not be trusted with, the frame keeps its first height.
_STYLE = "width: 100%; height: 600px; border: 0; resize: vertical"
_AS_HIGH_AS_ITS_PAGE = (
    "const page = this.contentDocument.documentElement; "
    "new ResizeObserver(() => {this.style.height = page.offsetHeight + 'px'}).observe(page)"
)


def framed(make: Callable[[], str]) -> str | None:
    """Return the page in a frame; None, as which a notebook shows plain text, if what makes pages isn't installed."""
    try:
        page = make()
    except ModuleNotFoundError:
        return None
    frame = {"sandbox": "allow-same-origin", "srcdoc": page, "style": _STYLE, "onload": _AS_HIGH_AS_ITS_PAGE}
    attributes = " ".join(f'{name}="{escape(value)}"' for name, value in frame.items())
    return f"<iframe {attributes}></iframe>"


def render_sections(title: str, sections: Sequence[Section]) -> str:
    """Return a page of these sections."""
    from dueby_pages.templating import render

    return render("sections.html.j2", package="dueby.library", title=title, sections=sections)
