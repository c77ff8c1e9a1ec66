"""What a notebook shows: an HTML page of the command's in a frame, where its styles and the notebook's don't meet.

The pages load nothing and have no script, and the frame would let none run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, ClassVar, TypeVar

from dueby_api.schema import Spec

if TYPE_CHECKING:
    from dueby_pages.charts.svg import Markup


class WithPage:
    """A document that a notebook shows as a page. It is no field of the document, and drawn when it is asked for."""

    height_px: ClassVar[int]

    def _repr_html_(self) -> str | None:
        make: Callable[[], str] | None = self.__dict__.get("page")
        return framed(make, height_px=self.height_px) if make else None


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


def framed(make: Callable[[], str], *, height_px: int) -> str | None:
    """Return the page in a frame; None, as which a notebook shows plain text, if what makes pages isn't installed."""
    try:
        page = make()
    except ModuleNotFoundError:
        return None
    style = f"width: 100%; height: {height_px}px; border: 0; resize: vertical"
    return f'<iframe sandbox srcdoc="{escape(page)}" style="{style}"></iframe>'


def render_sections(title: str, sections: Sequence[Section]) -> str:
    """Return a page of these sections."""
    from dueby_pages.templating import render

    return render("sections.html.j2", package="dueby.library", title=title, sections=sections)
