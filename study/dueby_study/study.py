"""A study from beginning to end: begin or go on, measure what is missing, summarise, draw.

FOLDER/study.json       what it is about
FOLDER/profiles/        GPUProfiles, for dueby plan, too
FOLDER/raw/             the rows
FOLDER/summary.json     the numbers
FOLDER/figures/         the figures
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from dueby_profiler.progress_listener import Progress
from dueby_study.context import Lab
from dueby_study.figures.charts import draw_all
from dueby_study.measurements import features
from dueby_study.settings import begin, read_processor, settings_of
from dueby_study.stages import run_stages, select
from dueby_study.summary import FILE, Summary, summarise

FIGURES = "figures"
# A list of numbers, which has its place in one line.
_LIST = re.compile(r"\[[^\[\]{}\"]+\]")


def run_study(lab: Lab, stages: Sequence[str] = ()) -> Summary:
    """Measure the named stages, or all, with those that they need; the numbers of all that is there."""
    chosen = select(stages)
    settings = settings_of(subject=lab.subject, effort=lab.effort, machine=lab.machine, processor=read_processor())
    if begin(lab.folder, settings):
        lab.audience.tell(f"Going on with the study in {lab.folder}.")
    if run_stages(lab, chosen) == 0:
        lab.audience.tell("Everything is measured already.")
    lab.audience.progress(Progress(doing="figures", left_s=0.0))
    learned = features.learn(lab)
    summary = summarise(lab, learned)
    write_summary(summary, lab.folder)
    draw_all(lab, summary, lab.folder / FIGURES, learned=learned)
    return summary


def write_summary(summary: Summary, folder: Path) -> Path:
    """Write the numbers down."""
    path = folder / FILE
    part = path.with_suffix(".part")
    text = _LIST.sub(lambda found: " ".join(found[0].split()), json.dumps(summary.document(), indent=1))
    part.write_text(text + "\n", encoding="utf-8")
    return part.replace(path)
