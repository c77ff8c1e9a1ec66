"""What images install is locked: every library that is declared, within its range, and each file by its hash."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.source_tree import REPOSITORY

LOCKS = REPOSITORY / "requirements"
PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
PIN = re.compile(r"([a-z0-9][a-z0-9-]*==\S+(?: ; [^\\]+)?) \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}( \\)?")
# The machines that images are for.
MACHINES = ("x86_64", "aarch64")


@dataclass(frozen=True, kw_only=True)
class Locked:
    """What is locked together, for what."""

    files: tuple[str, ...]
    declared: Sequence[str]


EXTRAS = PROJECT["optional-dependencies"]
IMAGES = {
    "operator": Locked(files=("operator",), declared=[*PROJECT["dependencies"], *EXTRAS["operator"]]),
    "worker": Locked(files=("worker", "torch"), declared=[*PROJECT["dependencies"], *EXTRAS["worker"]]),
    # What makes the site; the rest of what it needs is the worker's.
    "docs": Locked(files=("docs",), declared=[line for line in EXTRAS["docs"] if not line.startswith("dueby")]),
    "build": Locked(files=("build",), declared=PYPROJECT["build-system"]["requires"]),
}


def pins(*files: str) -> list[Requirement]:
    """The requirements of the files, each with one version."""
    lines = [line for file in files for line in (LOCKS / f"{file}.txt").read_text().splitlines()]
    return [Requirement(found[1]) for line in lines if (found := PIN.fullmatch(line))]


def unlocked(locked: Locked) -> Iterator[str]:
    """The declared requirements that no pin meets on one of the machines."""
    for declared in map(Requirement, locked.declared):
        for machine in MACHINES:
            here = {name: str(value) for name, value in default_environment().items()}
            where = {**here, "sys_platform": "linux", "platform_machine": machine}
            if declared.marker and not declared.marker.evaluate(where):
                continue
            found = [
                pin
                for pin in pins(*locked.files)
                if canonicalize_name(pin.name) == canonicalize_name(declared.name)
                and (pin.marker is None or pin.marker.evaluate(where))
            ]
            versions = [spec.version for pin in found for spec in pin.specifier]
            if len(versions) != 1 or not declared.specifier.contains(versions[0]):
                yield f"{declared} on {machine}: {versions or 'nothing'}"


@pytest.mark.parametrize("image", IMAGES)
def test_everything_that_is_declared_is_locked_within_its_range(image: str) -> None:
    found = list(unlocked(IMAGES[image]))
    assert not found, f"run `make lock`: requirements lack {'; '.join(found)}"


def test_what_is_not_locked_is_noticed() -> None:
    lacks = Locked(files=("operator",), declared=["kopf>=99", "no-such-library"])
    assert len(list(unlocked(lacks))) == 2 * len(MACHINES)


@pytest.mark.parametrize("file", sorted(path.name for path in LOCKS.iterdir()))
def test_every_file_that_may_be_installed_is_known_by_its_hash_and_no_index_is_named(file: str) -> None:
    lines = [line for line in (LOCKS / file).read_text().splitlines() if not line.startswith("#")]
    strange = [line for line in lines if not PIN.fullmatch(line) and not HASH.fullmatch(line)]
    assert not strange
    bare = [
        line
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
        if PIN.fullmatch(line) and not HASH.fullmatch(after)
    ]
    assert not bare, "without a hash"


def test_another_pytorch_takes_the_place_of_one_file_whole() -> None:
    """What PyPI's build for CUDA brings is with it, and nothing that the rest needs."""
    ours, theirs = ({pin.name for pin in pins(file)} for file in ("worker", "torch"))
    assert not ours & theirs
    assert {name for name in ours | theirs if re.match("torch|nvidia-|cuda-|triton", name)} - theirs == {"nvidia-ml-py"}
    assert {"torch", "torchvision", "nvidia-nccl-cu13"} < theirs


def test_both_images_have_the_same_versions() -> None:
    versions: dict[str, set[str]] = {}
    for pin in pins("operator", "worker"):
        versions.setdefault(f"{pin.name} {pin.marker}", set()).add(str(pin.specifier))
    assert not {name: found for name, found in versions.items() if len(found) > 1}


@pytest.mark.parametrize("image", ["operator", "worker"])
def test_an_image_installs_nothing_from_an_index_but_what_is_locked(image: str) -> None:
    text = (REPOSITORY / f"Dockerfile.{image}").read_text()
    installs = re.findall(r"pip install (.*)", text)
    assert len(installs) >= 4
    for options in installs:
        locked = re.search(r"--no-deps --require-hashes -r /tmp/(requirements/)?(\w+\.txt)", options)
        if locked:
            assert (LOCKS / locked[2]).exists()
        else:
            assert re.search(r"--no-deps .*/tmp/wheel/\*\.whl", options), options
