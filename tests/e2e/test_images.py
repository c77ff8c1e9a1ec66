"""The bills of materials of the images: what `make sbom` says is in them is what is locked."""

import json
import shlex
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.kind.cluster import call
from support.kind.images import REPOSITORY, build_options

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
# What Python's own image brings, and what is built here.
NOT_LOCKED = {"pip", "setuptools", "wheel", "dueby"}


def bill_of(image: str) -> dict[str, Any]:
    """The image's bill. The tool that writes it has checked it by CycloneDX's schema."""
    told = call(
        "make",
        "-s",
        "-C",
        str(REPOSITORY),
        "sbom",
        f"IMAGES={image}",
        f"DOCKER_ARGS={shlex.join(build_options(image))}",
    )
    found: dict[str, Any] = json.loads((REPOSITORY / told.split()[-1]).read_text())
    return found


def locked(file: str) -> dict[str, set[str]]:
    """The versions of each library that the file locks."""
    found: dict[str, set[str]] = {}
    for line in (REPOSITORY / "requirements" / f"{file}.txt").read_text().splitlines():
        if line[0].isalnum():
            pin = Requirement(line.removesuffix(" \\"))
            found.setdefault(pin.name, set()).update(each.version for each in pin.specifier)
    return found


@pytest.mark.parametrize(("image", "there", "absent"), [("operator", "kopf", "torch"), ("worker", "torch", "kopf")])
def test_the_bill_of_an_image_names_what_was_locked_and_nothing_else(image: str, there: str, absent: str) -> None:
    bill = bill_of(image)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert bill["metadata"]["component"]["name"] == "dueby"
    found = {canonicalize_name(each["name"]): each for each in bill["components"]}
    assert there in found
    assert absent not in found
    assert all(each["purl"].startswith("pkg:pypi/") for name, each in found.items() if name != "dueby")
    # PyTorch is another build here than the locked one, of whichever version this machine has.
    free = NOT_LOCKED | locked("torch").keys()
    strange = {
        name: each["version"]
        for name, each in found.items()
        if name not in free and each["version"] not in locked(image).get(name, ())
    }
    assert not strange
