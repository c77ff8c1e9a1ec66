"""What the chapters of a study's page have in common."""

from collections.abc import Iterator, Mapping

from dueby_study.figures.files import PREFIX
from dueby_study.pages.document import Chapter, Picture

Pictures = Mapping[str, bytes]
"""PNGs by the names of their files, without the suffix."""


def missing(title: str, intro: str, stage: str) -> Chapter:
    """Return the chapter of a stage that was not measured: it says how to measure it."""
    return Chapter(title=title, intro=intro, findings=(f"Not measured yet: run dueby-study with --stage {stage}.",))


def chosen(pictures: Pictures, **labels: str) -> Iterator[Picture]:
    """Yield those of the labelled pictures that were drawn."""
    for name, label in labels.items():
        file = f"{PREFIX}{name}"
        if file in pictures:
            yield Picture(name=file, png=pictures[file], label=label)
