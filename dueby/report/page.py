"""The report as one HTML page, with its sections in the order of the questions that one has after a run.

The page loads nothing: styles, charts and photos are inside it, and there is no script. What each section shows is
decided in `sections`, charts are drawn in `charts`, and `templates/report.html.j2` puts them in order.
"""

from dataclasses import dataclass

from dueby.report.charts.images import draw_images
from dueby.report.parts import FailedImage
from dueby.report.photos import SIDE, Photo
from dueby.report.run import Run
from dueby.report.sections.about import about
from dueby.report.sections.comparison import comparison_section
from dueby.report.sections.headline import headline
from dueby.report.sections.others import others_section
from dueby.report.sections.plans import plan_notes, shown_plans
from dueby.report.sections.results import contact_sheet, failures
from dueby.report.sections.workers import workers_section
from dueby_api.step_messages import FinishResult
from dueby_pages.templating import render


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that the page shows."""

    sink: str
    run: Run
    parts: int
    """Number of parts in the sink."""
    failed: tuple[FailedImage, ...]
    photos: tuple[Photo, ...]
    generations: tuple[FinishResult, ...] = ()
    """What jobs have added to the sink, one after the other; empty if there was only one."""


def render_page(report: Report) -> str:
    run = report.run
    return render(
        "report.html.j2",
        package="dueby.report",
        report=report,
        run=run,
        headline=headline(run),
        plans=shown_plans(run),
        notes_on_profiles=plan_notes(run),
        workers=workers_section(run),
        image_charts=draw_images(run) if run.progress.samples else (),
        comparison=comparison_section(run),
        others=others_section(run),
        failures=failures(report.failed, count=run.failed),
        sheet=contact_sheet(report.photos),
        photo_side=SIDE,
        about=about(run, report.generations),
    )
