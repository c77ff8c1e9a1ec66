"""The results to look at: the images that failed, and a contact sheet of those that did not."""

from dataclasses import dataclass

from dueby.report.parts import FailedImage
from dueby.report.photos import Photo
from dueby_api.untrusted import without_credentials
from dueby_pages.wording import NOTHING, percent


@dataclass(frozen=True, kw_only=True)
class Failures:
    """The images without a result."""

    total: int
    rows: tuple[FailedImage, ...]
    """Those that the page lists; all of them, unless there are very many or their parts aren't there."""


@dataclass(frozen=True, kw_only=True)
class SheetEntry:
    """A photo of the contact sheet, with what the model saw in it."""

    photo: Photo
    label: str
    score: float
    bar: float
    """Width of the score's bar in percent: 0 to 100, whatever the score."""
    title: str
    """Shown on hovering: where the photo is, and all of the answers."""
    values: int
    """Values of its embedding; 0 if the model has answered."""


def failures(rows: tuple[FailedImage, ...], *, count: int | None) -> Failures:
    """Return the failed images; the record's count may differ from the rows if the run goes on."""
    return Failures(total=max(count or 0, len(rows)), rows=rows)


def contact_sheet(photos: tuple[Photo, ...]) -> tuple[SheetEntry, ...]:
    """Return the photos with the model's answers."""
    return tuple(_entry(photo) for photo in photos)


def _entry(photo: Photo) -> SheetEntry:
    row = photo.row
    label, score = (row.labels[0], row.scores[0]) if row.labels and row.scores else (NOTHING, 0.0)
    answers = ", ".join(f"{label} {percent(score)}" for label, score in zip(row.labels, row.scores, strict=False))
    return SheetEntry(
        photo=photo,
        label=label,
        score=score,
        bar=100 * max(0.0, min(1.0, score)),
        title=": ".join(filter(None, (without_credentials(row.uri), answers))),
        values=row.values,
    )
