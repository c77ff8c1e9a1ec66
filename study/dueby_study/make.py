"""`dueby-study`: repeat the study "On Serving Image Classification Models" on this machine, as one page.

Everything is measured point by point and kept, so the same command continues where it was stopped. The page is made
again each time from what has been measured so far.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from dueby.cli.profile import add_subject_arguments, subject
from dueby.inputs.files import folder_name, require_folder
from dueby.inputs.needs import needing
from dueby.terminal.console import people_console
from dueby.terminal.progress_bar import show_progress
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.units import format_duration
from dueby_profiler.files import write_text

if TYPE_CHECKING:
    from dueby_study.summary import StudySummary

PAGE = "study.html"
TEXT = "study.md"
_EXAMPLES = """\
examples:
  dueby-study --quick -o study                               measure everything, write study/study.html
  dueby-study --model resnet50 --stage memory -o resnet50    measure only the memory of another model
"""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the command's arguments."""
    parser = argparse.ArgumentParser(
        prog="dueby-study",
        # With its own line ends: the formatter leaves them as they are, here and in the examples.
        description="Measure on this machine what the study behind DueBy measured, and write it\n"
        "as one HTML page. The same command continues a study that was stopped.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_arguments(parser)
    return parser.parse_args(arguments)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", required=True, type=folder_name, metavar="DIR", help="folder of the study")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="fewer rounds and sizes: under 30 minutes on 2 cores instead of more than an hour",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        dest="models",
        metavar="NAME",
        help="the classifier that the figures are about; if repeated, the others appear in the table of models only "
        "(default: efficientnet_b0, and four others in the table)",
    )
    add_subject_arguments(parser)
    parser.add_argument(
        "--stage",
        action="append",
        default=[],
        dest="stages",
        metavar="NAME",
        help="measure only this stage and those it needs; may be repeated: subject, memory, times, together, models, "
        "features (default: all)",
    )


def make(arguments: argparse.Namespace) -> int:
    """Measure what is missing; write numbers, figures and the page. Return 0."""
    # Imported here, so that --help and errors in the arguments don't wait for matplotlib and scikit-learn.
    with needing("this command", "study"):
        from dueby.local.this_machine import cache_folder
        from dueby_profiler.machine.machine import this_machine
        from dueby_profiler.measuring.choices import choose
        from dueby_study import presets
        from dueby_study.context import StudyContext
        from dueby_study.measurements.models import DEFAULT
        from dueby_study.row_store import RowStore
        from dueby_study.stages import select
        from dueby_study.study import run_study

    models = tuple(dict.fromkeys(arguments.models)) or DEFAULT
    select(arguments.stages)
    subjects = _models(arguments, models)
    machine = this_machine()
    # Refuses an engine or a precision that this machine hasn't. All models have the same.
    choose(machine.layouts, subjects[0], ())
    require_folder(arguments.output)
    _require_places(arguments.output)
    console = people_console(stderr=True)
    with show_progress(console) as listener:
        context = StudyContext(
            folder=arguments.output,
            machine=machine,
            subject=subjects[0],
            models=models,
            preset=presets.QUICK if arguments.quick else presets.FULL,
            row_store=RowStore(arguments.output),
            cache_dir=cache_folder(),
            listener=listener,
        )
        summary = run_study(context, arguments.stages)
    for stage, seconds in summary.seconds.items():
        console.print(Text(f"{stage}: {format_duration(round(1e6 * seconds))}"))
    for path in write_pages(summary, arguments.output):
        console.print(Text(f"Written: {path}"))
    return 0


def write_pages(summary: "StudySummary", folder: Path) -> list[Path]:
    """Write the page of these numbers and of the figures in the folder, and its text as Markdown; return the files."""
    from dueby_study.figures.files import FOLDER
    from dueby_study.pages.document import render_study, render_text
    from dueby_study.pages.page import study_page

    pictures = {path.stem: path.read_bytes() for path in sorted((folder / FOLDER).glob("*.png"))}
    page = study_page(summary, pictures)
    return [write_text(folder / PAGE, render_study(page)), write_text(folder / TEXT, render_text(page))]


def _require_places(folder: Path) -> None:
    """Raise Invalid if there is a folder where the study writes a file, or something else where it makes a folder."""
    from dueby_study import settings, summary
    from dueby_study.figures import files
    from dueby_study.measurements import profiles
    from dueby_study.row_store import LOG, RAW

    for name in (settings.FILE, summary.FILE, PAGE, TEXT, LOG):
        if (folder / name).is_dir():
            raise Invalid("--output", f"{folder / name} is a folder where a study has a file; name another folder")
    for name in (RAW, profiles.FOLDER, files.FOLDER):
        if (folder / name).exists() and not (folder / name).is_dir():
            raise Invalid("--output", f"{folder / name} is a file where a study has a folder; name another folder")


def _models(arguments: argparse.Namespace, names: tuple[str, ...]) -> list[Model]:
    """Return each model as a job would name it; raise Invalid before anything is measured."""
    from dueby_worker.models.loading import require_image_size

    models = [subject(arguments, name, weights="none") for name in names]
    for model in models:
        require_image_size(model)
    return models
