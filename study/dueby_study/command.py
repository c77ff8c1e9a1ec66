"""`dueby-study`: the study "On Serving Image Classification Models" on this machine, as one page.

Everything is measured point by point and kept; the same command again goes on where it was stopped. The page is made
anew each time, from what there is.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from dueby.cli.console import people_console
from dueby.cli.files import require_folder
from dueby.cli.main import exit_code
from dueby.cli.profile import add_subject_arguments
from dueby.cli.progress_bar import show_progress
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.schema import validate
from dueby_api.units import format_duration

if TYPE_CHECKING:
    from dueby_study.summary import Summary

PAGE = "study.html"
TEXT = "study.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="dueby-study", description="Measure what the study behind DueBy measured, on this machine."
    )
    _add_arguments(parser)
    parsed = parser.parse_args(arguments)
    return exit_code(parser.prog, lambda: run(parsed))


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="folder of the study")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="under 30 minutes on 2 cores instead of more than an hour; fewer rounds and sizes",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        dest="models",
        metavar="NAME",
        help="the classifier that the figures are about; repeated, the further ones of the table (default: "
        "efficientnet_b0, and four others in the table)",
    )
    add_subject_arguments(parser)
    parser.add_argument(
        "--stage",
        action="append",
        default=[],
        dest="stages",
        metavar="NAME",
        help="measure only this, and what it needs; may be repeated: subject, memory, times, together, models, "
        "features (default: all of them)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure what is missing, write numbers, figures and the page; 0."""
    try:
        from dueby.local.this_machine import cache_folder
        from dueby_profiler.machine.machine import this_machine
        from dueby_study import presets as efforts
        from dueby_study.context import Lab
        from dueby_study.measurements.models import DEFAULT
        from dueby_study.row_store import Notebook
        from dueby_study.stages import select
        from dueby_study.study import run_study
    except ModuleNotFoundError as error:
        raise Invalid("study", f"needs {error.name}; install it with: pip install 'dueby[profiler]'") from error

    models = tuple(dict.fromkeys(arguments.models)) or DEFAULT
    select(arguments.stages)
    subjects = _models(arguments, models)
    require_folder(arguments.output)
    console = people_console(stderr=True)
    with show_progress(console) as audience:
        lab = Lab(
            folder=arguments.output,
            machine=this_machine(),
            subject=subjects[0],
            models=models,
            effort=efforts.QUICK if arguments.quick else efforts.FULL,
            notebook=Notebook(arguments.output),
            cache_dir=cache_folder(),
            audience=audience,
        )
        summary = run_study(lab, arguments.stages)
    for stage, seconds in summary.seconds.items():
        console.print(Text(f"{stage}: {format_duration(round(1e6 * seconds))}"))
    for path in write_pages(summary, arguments.output):
        console.print(Text(f"Written: {path}"))
    return 0


def write_pages(summary: "Summary", folder: Path) -> list[Path]:
    """The page of these numbers and of the figures in the folder, and its words as Markdown."""
    from dueby_study.pages.document import render_study
    from dueby_study.pages.markdown import render_text
    from dueby_study.pages.page import study_page
    from dueby_study.study import FIGURES

    pictures = {path.stem: path.read_bytes() for path in sorted((folder / FIGURES).glob("*.png"))}
    page = study_page(summary, pictures)
    written = []
    for name, text in ((PAGE, render_study(page)), (TEXT, render_text(page))):
        part = folder / f"{name}.part"
        part.write_text(text, encoding="utf-8")
        written.append(part.replace(folder / name))
    return written


def _models(arguments: argparse.Namespace, names: tuple[str, ...]) -> list[Model]:
    """Each model as a job would name it; Invalid before anything is measured."""
    from dueby_worker.models.registry import find_entry

    for name in names:
        find_entry(name)
    return [
        validate(
            Model,
            {
                "name": name,
                "weights": "none",
                "imageSize": arguments.image_size,
                "precision": arguments.precision,
                "engine": arguments.engine,
            },
            origin="the model",
        )
        for name in names
    ]


if __name__ == "__main__":
    sys.exit(main())
