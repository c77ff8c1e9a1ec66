"""What the documentation names is there: files and folders in backquotes, links with headings. Paragraphs are short."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.source_tree import REPOSITORY

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "charts/**/*.md", "examples/**/*.md")
    for path in REPOSITORY.glob(pattern)
)
ROOTS = "api|planner|operator|worker|profiler|dueby|study|tests|docs|benchmarks|charts|crds|examples"
# A path with NAME in it, or with a shell's braces, stands for others.
NAMED = re.compile(rf"`((?:{ROOTS})/[\w./-]+)`")
# Names of images, and what a command writes.
NOT_HERE = {"dueby/operator", "dueby/worker", "study/study.md"}
LINK = re.compile(r"\]\(([^)\s]+)\)")

# What a tired reader takes in at once.
MAX_WORDS = 80
# What is no prose: fenced text, and tables that benchmarks write.
MADE = re.compile(r"^```.*?^```|^<!-- \w+: begin -->.*?^<!-- \w+: end -->", re.DOTALL | re.M)


def missing(document: Path, text: str) -> Iterator[str]:
    """What the text names and what is not there."""
    for name in NAMED.findall(text):
        if "NAME" not in name and name not in NOT_HERE and not (REPOSITORY / name).exists():
            yield name
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://")):
            continue
        path, _, heading = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (heading and heading not in headings(target)):
            yield link


def headings(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", document.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_what_a_document_names_is_there(document: Path) -> None:
    assert not list(missing(document, document.read_text()))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_commands_ask_for_the_release_where_others_have_installed_it(document: Path) -> None:
    text = document.read_text().replace("\\\n", "")
    commands = re.findall(
        r"(?:^    |`)(helm (?:install|test) dueby[^`\n]*|kubectl [^`\n]*-l dueby\.dev/pro[^`\n]*)", text, re.M
    )
    assert [command for command in commands if " -n dueby" not in command] == []


def test_what_is_not_there_is_noticed() -> None:
    document = REPOSITORY / "README.md"
    assert list(missing(document, "see `docs/nothing.md`")) == ["docs/nothing.md"]
    assert list(missing(document, "[a](docs/nothing.md) [b](docs/README.md#nothing)")) == [
        "docs/nothing.md",
        "docs/README.md#nothing",
    ]
    assert not list(missing(document, "[c](docs/README.md#decisions) `api/dueby_api/engines.py` `api/NAME.py`"))


def long_paragraphs(text: str) -> Iterator[str]:
    """How each paragraph and each point of a list begins that has too many words; a link's address is none."""
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", MADE.sub("", text)):
        words = re.sub(r"\]\([^)]*\)", "]", block).split()
        if len(words) > MAX_WORDS and not block.startswith(("|", "    ")):
            yield " ".join(words[:6])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_paragraph_has_no_more_words_than_are_read_at_once(document: Path) -> None:
    assert not list(long_paragraphs(document.read_text()))


def test_a_long_paragraph_is_noticed() -> None:
    long = "word " * (MAX_WORDS + 1)
    assert list(long_paragraphs(f"short\n\n{long}\n\n- a\n  - {long}\n\n|{long}|\n\n```\n{long}\n```\n")) == [
        "word word word word word word",
        "- word word word word word",
    ]
