"""The images of this code for the tests' cluster.

`PYTHONPATH=tests python3 -m support.images` builds them beforehand, with nothing installed. DUEBY_BASE_IMAGE is the
base of the worker's image where the usual one won't do, DUEBY_WORKER_PIP_ARGS goes to pip in the worker's, and
DUEBY_TEST_CLUSTER is the name of the cluster and the images' tag.
"""

import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
NAME = os.environ.get("DUEBY_TEST_CLUSTER", "dueby-test")
TAG = NAME
OPERATOR_IMAGE, WORKER_IMAGE = f"dueby/operator:{TAG}", f"dueby/worker:{TAG}"


def build_images() -> None:
    """Build the operator's and the worker's image; a second time only what has changed."""
    base, pip_args = os.environ.get("DUEBY_BASE_IMAGE"), os.environ.get("DUEBY_WORKER_PIP_ARGS", "")
    for_worker = {"PIP_ARGS": pip_args, **({"BASE": base} if base else {})}
    for name, tag, arguments in (("operator", OPERATOR_IMAGE, {}), ("worker", WORKER_IMAGE, for_worker)):
        options = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
        file = REPOSITORY / f"Dockerfile.{name}"
        command = ["docker", "build", "-q", "-f", str(file), "-t", tag, *options, str(REPOSITORY)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


if __name__ == "__main__":
    build_images()
