"""What came out, to look at: the images that failed, and a contact sheet of those that did not."""

from collections.abc import Sequence

from dueby.report.html import Markup, join, public, tag
from dueby.report.parts import FailedImage
from dueby.report.thumbnails import SIDE, Photo
from dueby.report.wording import NOTHING, counted, number, percent


def draw_failures(rows: Sequence[FailedImage], *, count: int | None) -> Markup:
    """The images without a result, and why."""
    total = max(count or 0, len(rows))
    if not total:
        return tag("p", "None: every image that is done has a result.")
    if not rows:
        return tag("p", f"{counted(total, 'image')} could not be read; no finished part says which.")
    head = tag("tr", tag("th", "index", class_="number"), tag("th", "image"), tag("th", "why"))
    body = [
        tag(
            "tr",
            tag("td", number(row.index), class_="number"),
            tag("td", tag("code", public(row.uri))),
            tag("td", public(row.error)),
        )
        for row in rows
    ]
    which = f"; the first {len(rows)} by index:" if total > len(rows) else ":"
    table = tag("table", tag("thead", head), tag("tbody", body), class_="failures")
    said = tag("p", f"{counted(total, 'image')} could not be read{which}")
    return join(said, tag("div", table, class_="scroll tall", tabindex="0"))


def draw_sheet(photos: Sequence[Photo]) -> Markup:
    """The contact sheet: each photo with the model's first answer, the others on hovering."""
    return tag("div", [_draw_photo(photo) for photo in photos], class_="sheet")


def _draw_photo(photo: Photo) -> Markup:
    row = photo.row
    label, score = (row.labels[0], row.scores[0]) if row.labels and row.scores else (NOTHING, 0.0)
    if photo.picture is None:
        picture = tag("div", photo.reason, class_="no-picture")
    else:
        picture = tag("img", src=photo.picture, alt=label, width=SIDE, height=SIDE)
    words = tag("figcaption", tag("b", label), tag("span", percent(score, digits=0), class_="number"))
    bar = tag("i", style=f"width:{100 * max(0.0, min(1.0, score)):.1f}%")
    answers = ", ".join(f"{label} {percent(score)}" for label, score in zip(row.labels, row.scores, strict=False))
    return tag("figure", picture, words, tag("div", bar, class_="score"), title=f"{public(row.uri)}: {answers}")
