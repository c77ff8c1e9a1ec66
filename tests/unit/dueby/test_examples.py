"""What the documents show is true: every example is a valid job, and every link leads to a file."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dueby_api.gpu_profile import parse_profile
from dueby_api.inference_job import parse_job
from support.source_tree import REPOSITORY

# In models are descriptions of ONNX files. The others have tests of their own in tests/unit/docs.
OTHERS = [path for folder in ("models", "gitops", "nightly") for path in (REPOSITORY / "examples" / folder).iterdir()]
EXAMPLES = sorted(set((REPOSITORY / "examples").rglob("*.yaml")).difference(OTHERS))
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
PARSERS = {"InferenceJob": parse_job, "GPUProfile": parse_profile}


def name(path: Path) -> str:
    """The path as the repository sees it."""
    return str(path.relative_to(REPOSITORY))


def documents_of(example: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The example's resources of DueBy, and the claims that it brings for them."""
    documents = list(yaml.safe_load_all(example.read_text()))
    ours = [document for document in documents if document["apiVersion"] == "dueby.dev/v1alpha1"]
    others = [document for document in documents if document not in ours]
    assert {document["kind"] for document in others} <= {"PersistentVolumeClaim"}
    return ours, others


def claims_of(jobs: list[dict[str, Any]]) -> set[str]:
    """The names of the claims that the jobs mount."""
    volumes = [volume for job in jobs for volume in job["spec"].get("worker", {}).get("volumes", [])]
    return {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume}


def shown_resources() -> Iterator[tuple[str, str]]:
    """Document and text of every complete resource that a document shows."""
    for document in DOCUMENTS:
        for block in re.findall(r"^```yaml\n(.*?)^```", document.read_text(), flags=re.DOTALL | re.MULTILINE):
            if "apiVersion:" in block:
                yield name(document), block


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_the_example_is_a_valid_resource_and_says_what_it_is(example: Path) -> None:
    assert example.read_text().startswith("# ")
    ours, others = documents_of(example)
    for document in ours:
        PARSERS[document["kind"]](document, origin=name(example))
    assert ours
    assert all(document["metadata"]["name"] in claims_of(ours) for document in others)


@pytest.mark.parametrize(("document", "block"), tuple(shown_resources()))
def test_the_resource_that_a_document_shows_is_valid(document: str, block: str) -> None:
    resource = yaml.safe_load(block)
    PARSERS[resource["kind"]](resource, origin=document)


def test_the_example_without_gpus_brings_all_that_it_needs() -> None:
    (job,), claims = documents_of(REPOSITORY / "examples" / "cluster" / "cpu.yaml")
    spec = parse_job(job).spec
    assert claims_of([job]) == {claim["metadata"]["name"] for claim in claims}
    assert all("storageClassName" not in claim["spec"] for claim in claims), "the cluster's default is what there is"
    assert spec.source.synthetic is not None
    assert (spec.model.weights, spec.worker.env_from) == ("none", ())
    assert all(re.fullmatch(r"cpu-\d+", name) for name in spec.gpus.classes)
    assert spec.gpus.classes


def test_there_are_examples_and_the_readme_shows_one() -> None:
    assert len(EXAMPLES) >= 5
    assert "README.md" in {document for document, _ in shown_resources()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_of_the_document_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", document.read_text())
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing, f"{name(document)} links to {', '.join(missing)}, which isn't there"
