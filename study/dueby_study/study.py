"""Run a study from beginning to end: start or continue, measure what is missing, summarise, draw.

FOLDER/study.json       what it is about
FOLDER/profiles/        GPUProfiles, which dueby plan reads, too
FOLDER/raw/             the rows
FOLDER/summary.json     the numbers
FOLDER/figures/         the figures
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from dueby_profiler.files import write_text
from dueby_profiler.progress_listener import ProgressUpdate
from dueby_study.context import StudyContext
from dueby_study.figures import files
from dueby_study.figures.charts import draw_all
from dueby_study.measurements import features
from dueby_study.settings import begin, read_processor, settings_of
from dueby_study.stages import run_stages, select
from dueby_study.summary import FILE, StudySummary, summarise

# A list of numbers, which is easier to read on one line.
_LIST = re.compile(r"\[[^\[\]{}\"]+\]")


def run_study(context: StudyContext, stages: Sequence[str] = ()) -> StudySummary:
    """Measure the named stages, or all, with those that they need; return the numbers of everything measured so far."""
    chosen = select(stages)
    settings = settings_of(
        subject=context.subject, preset=context.preset, machine=context.machine, processor=read_processor()
    )
    if begin(context.folder, settings):
        context.listener.on_message(f"Continuing the study in {context.folder}.")
    if run_stages(context, chosen) == 0:
        context.listener.on_message("Everything has been measured already.")
    context.listener.on_progress(ProgressUpdate(doing="figures", left_s=0.0))
    learned = features.learn(context)
    summary = summarise(context, learned)
    write_summary(summary, context.folder)
    draw_all(context, summary, context.folder / files.FOLDER, learned=learned)
    return summary


def write_summary(summary: StudySummary, folder: Path) -> Path:
    """Write the numbers as summary.json; return the file."""
    text = _LIST.sub(lambda match: " ".join(match[0].split()), json.dumps(summary.document(), indent=1))
    return write_text(folder / FILE, text + "\n")
