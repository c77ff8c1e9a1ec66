"""What the documents show is true: every example is a valid job, and every link leads to a file."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dueby_api.gpu_profile import parse_profile
from dueby_api.inference_job import parse_job
from support.source_tree import REPOSITORY

EXAMPLES = sorted((REPOSITORY / "examples").rglob("*.yaml"))
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
PARSERS = {"InferenceJob": parse_job, "GPUProfile": parse_profile}


def name(path: Path) -> str:
    """The path as the repository sees it."""
    return str(path.relative_to(REPOSITORY))


def shown_resources() -> Iterator[tuple[str, str]]:
    """Document and text of every complete resource that a document shows."""
    for document in DOCUMENTS:
        for block in re.findall(r"^```yaml\n(.*?)^```", document.read_text(), flags=re.DOTALL | re.MULTILINE):
            if "apiVersion:" in block:
                yield name(document), block


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_the_example_is_a_valid_resource_and_says_what_it_is(example: Path) -> None:
    text = example.read_text()
    assert text.startswith("# ")
    document = yaml.safe_load(text)
    PARSERS[document["kind"]](document, origin=name(example))


@pytest.mark.parametrize(("document", "block"), tuple(shown_resources()))
def test_the_resource_that_a_document_shows_is_valid(document: str, block: str) -> None:
    resource = yaml.safe_load(block)
    PARSERS[resource["kind"]](resource, origin=document)


def test_there_are_examples_and_the_readme_shows_one() -> None:
    assert len(EXAMPLES) >= 5
    assert "README.md" in {document for document, _ in shown_resources()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_of_the_document_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", document.read_text())
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing, f"{name(document)} links to {', '.join(missing)}, which isn't there"
