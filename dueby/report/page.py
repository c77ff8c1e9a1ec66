"""The report as one HTML page: its sections in the order of the questions that one has after a run.

The page asks nothing of anybody: styles, figures and photos are inside it, and there is no script.
"""

from dataclasses import dataclass

from dueby.report.about import draw_about
from dueby.report.curves import draw_images
from dueby.report.deviations import compare, draw_strips, overall, tabulate
from dueby.report.document import document
from dueby.report.facts import draw_facts
from dueby.report.headline import draw_headline
from dueby.report.html import Child, Markup, tag
from dueby.report.parts import FailedImage
from dueby.report.plans import draw_plans
from dueby.report.results import draw_failures, draw_sheet
from dueby.report.run import Run
from dueby.report.thumbnails import Photo
from dueby.report.timeline import draw_timeline
from dueby.report.wording import counted


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page shows."""

    sink: str
    run: Run
    parts: int
    """Parts in the sink."""
    failed: tuple[FailedImage, ...]
    photos: tuple[Photo, ...]


def render_page(report: Report) -> str:
    """The page's text."""
    run = report.run
    body = tag(
        "main",
        draw_headline(run, sink=report.sink),
        _section("Plan and proof", _plan_intro(run), draw_plans(run)) if run.plan.revisions else None,
        _section("Workers against the deadline", None, draw_timeline(run)) if run.workers else None,
        _section("Images over time", None, draw_images(run)) if run.progress.samples else None,
        _compare(run),
        _section("Failed images", None, draw_failures(report.failed, count=run.failed)),
        _photographs(report),
        _section("About this run", None, draw_about(run)),
        tag("footer", f"Run {run.name}, {counted(report.parts, 'part')} in the sink. Made by dueby report."),
    )
    return document(run.job_name, body)


def _section(title: str, intro: str | None, *content: Child) -> Markup:
    return tag("section", tag("h2", title), tag("p", intro, class_="intro") if intro else None, *content)


def _plan_intro(run: Run) -> str | None:
    if run.promise.lower_bound is None:
        return None
    return f"The fewest {run.noun}s of this pool that do it, at the measured mini-batch sizes and this confidence."


def _compare(run: Run) -> Markup | None:
    rows = compare(run)
    strips = draw_strips(rows)
    if strips is None:
        return None
    return _section("Expected against actual", None, draw_facts(overall(run)), strips, tabulate(rows))


def _photographs(report: Report) -> Markup:
    if report.run.synthetic:
        said = "The images were synthetic, made on the fly: there is nothing to look at, and the labels mean nothing."
        return _section("Contact sheet", said)
    if not report.photos:
        return _section("Contact sheet", "No image is classified yet.")
    said = "evenly spread over the index, with the model's first answer and its score."
    return _section("Contact sheet", f"{counted(len(report.photos), 'photo')}, {said}", draw_sheet(report.photos))
