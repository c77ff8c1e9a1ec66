"""What the chapters of a study's page have in common."""

from collections.abc import Iterator, Mapping

from dueby_study.pages.document import Chapter, Picture

Pictures = Mapping[str, bytes]
"""PNGs by the names of their files, without the suffix."""
_PREFIX = "study-"


def missing(title: str, intro: str, stage: str) -> Chapter:
    return Chapter(title=title, intro=intro, said=(f"Not measured yet: run dueby-study with --stage {stage}.",))


def chosen(pictures: Pictures, **labels: str) -> Iterator[Picture]:
    """Those that were drawn."""
    for name, label in labels.items():
        file = f"{_PREFIX}{name}"
        if file in pictures:
            yield Picture(name=file, png=pictures[file], label=label)
