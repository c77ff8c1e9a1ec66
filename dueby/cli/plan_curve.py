"""`dueby plan --curve`: devices and cost over the deadline or the images, as a table, a document or a picture."""

import sys

from dueby.cli.documents import print_document
from dueby.planned_curve import curve_answer, curve_rows, curve_story, shown_curve
from dueby_api.inference_job import InferenceJob
from dueby_planner.model.curve import Over, curve_of
from dueby_planner.model.problem import Problem


def print_curve(job: InferenceJob, problem: Problem, *, over: Over, output: str) -> bool:
    """Print the curve of the job on stdout; return whether it has any point."""
    curve = curve_answer(job.metadata.name, curve_of(problem, over=over))
    if output in ("json", "yaml"):
        print_document(curve.complete_document(), output)
    elif output in ("svg", "html"):
        from dueby_pages.charts.curve import draw_curve  # markupsafe takes some milliseconds

        picture = draw_curve(shown_curve(curve))
        sys.stdout.write(
            f"{picture}\n" if output == "svg" else f"<!doctype html>\n<title>{job.metadata.name}</title>\n{picture}\n"
        )
    else:
        # Imported here because rich takes 50 ms.
        from rich.text import Text

        from dueby.terminal.console import people_console, print_warnings
        from dueby.terminal.tables import Column, fitted_table

        console = people_console()
        if curve.points:
            headings, rows = curve_rows(curve)
            columns = [
                Column(heading=heading, cells=cells, expendable=None if place < 5 else -place)
                for place, (heading, *cells) in enumerate(zip(headings, *rows, strict=True))
            ]
            console.print(fitted_table(columns, width=console.width))
            console.print()
        console.print(Text(curve_story(curve)))
        print_warnings(problem.pool.warnings, people_console(stderr=True), notes=problem.pool.notes, is_verbose=False)
    return bool(curve.points)
