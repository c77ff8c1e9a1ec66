"""The images of this code for the tests' cluster.

DUEBY_BASE_IMAGE is the base of the worker's image where the usual one won't do, DUEBY_WORKER_PIP_ARGS is what pip
installs in it instead of PyPI's PyTorch, and DUEBY_TEST_CLUSTER is the name of the cluster and the images' tag.
"""

import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
NAME = os.environ.get("DUEBY_TEST_CLUSTER", "dueby-test")
TAG = NAME
OPERATOR_IMAGE, WORKER_IMAGE = f"dueby/operator:{TAG}", f"dueby/worker:{TAG}"


def build_options(image: str) -> list[str]:
    """Return the options for docker with which this machine's operator or worker is built."""
    if image == "operator":
        return []
    given = {"BASE": os.environ.get("DUEBY_BASE_IMAGE"), "TORCH": os.environ.get("DUEBY_WORKER_PIP_ARGS")}
    return [word for name, value in given.items() if value for word in ("--build-arg", f"{name}={value}")]


def build_images() -> None:
    """Build the operator's and the worker's image; a second time only what has changed."""
    for image, tag in (("operator", OPERATOR_IMAGE), ("worker", WORKER_IMAGE)):
        file = REPOSITORY / f"Dockerfile.{image}"
        command = ["docker", "build", "-q", "-f", str(file), "-t", tag, *build_options(image), str(REPOSITORY)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
