"""The pages that are made from the code name everything that the code has, with what it says of it."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import dueby
from dueby.cli.main import SUBCOMMANDS
from dueby_operator.resources.crds import job_crd, profile_crd
from site_command import command_page
from site_markdown import plain
from site_reference import library_page, made_pages
from site_schema import resource_page
from support.source_tree import REPOSITORY


def test_a_field_has_its_type_its_default_its_bounds_and_its_meaning() -> None:
    page = resource_page(job_crd())
    assert (
        "[`imageSize`]{#inferencejob-spec-model-imagesize-field} [integer]{.type}\n"
        ": Side of the square that the model sees, in pixels.\n\n"
        "  [Default: `224`. From 32 to 4,096.]{.bounds}"
    ) in page
    assert "[`uri`]{#inferencejob-spec-sink-uri-field} [text]{.type} [required]{.required}" in page
    assert "[Fields: [spec.source.manifest](#inferencejob-spec-source-manifest).]{.bounds}" in page
    assert "(inferencejob-spec-source-manifest)=\n\n### spec.source.manifest" in page
    assert "- give exactly one of deadline and deadlineTime" in page


@pytest.mark.parametrize("make", [job_crd, profile_crd], ids=["InferenceJob", "GPUProfile"])
@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_of_both_resources_is_there(make: Callable[[], dict[str, Any]], part: str) -> None:
    crd = make()
    (version,) = crd["spec"]["versions"]
    fields = version["schema"]["openAPIV3Schema"]["properties"][part]["properties"]
    anchors = {name: f"{crd['spec']['names']['singular']}-{part}-{name.lower()}-field" for name in fields}
    page = resource_page(crd)
    assert [name for name, anchor in anchors.items() if f"[`{name}`]{{#{anchor}}}" not in page] == []


def test_every_subcommand_has_its_options_and_examples() -> None:
    page = command_page()
    assert [name for name in SUBCOMMANDS if f"\n## dueby {name}\n" not in page] == []
    assert "[`-f`, `--file`]{#plan-file} [JOB]{.type} [required]{.required}\n: A file of InferenceJobs; " in page
    assert "[`--model`]{#profile-model} [NAME]{.type}\n: The classifier (default: efficientnet\\_b0)." in page
    assert "\ndueby report results --run 20261201T060000Z " in page


def test_every_function_of_the_library_has_its_signature_and_what_it_says() -> None:
    page = library_page()
    functions = [name for name in dueby.__all__ if inspect.isfunction(getattr(dueby, name))]
    assert functions
    assert [name for name in functions if f"\n## {name}\n\n```python\ndueby.{name}(\n" not in page] == []
    assert "    *,\n    profiles: str | PathLike[str] | Sequence[str | PathLike[str]] = (),\n" in page
    assert "\n[`gpus`]{#plan-gpus}\n: " in page
    assert ") -> Planned\n```\n\nReturn the fewest devices that meet the job's deadline" in page


def test_every_example_has_a_page_with_all_of_it() -> None:
    texts = {page.source: page.text for page in made_pages(REPOSITORY)}
    manifests = sorted((REPOSITORY / "examples").rglob("*.yaml"))
    assert len(manifests) > 5
    for manifest in manifests:
        assert manifest.read_text().rstrip() in texts[str(manifest.relative_to(REPOSITORY))]


def test_a_sign_in_a_sentence_stays_a_sign() -> None:
    assert plain("leave out * and <x>,\n  but not `a*b`") == "leave out \\* and \\<x>, but not `a*b`"


def test_a_rule_of_several_expressions_is_told_once() -> None:
    rules = [line for line in resource_page(job_crd()).splitlines() if "is the folder of the source" in line]
    assert len(rules) == 1
