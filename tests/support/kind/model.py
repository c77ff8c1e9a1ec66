"""What the cluster's jobs run, and a profile for it: OpenVINO, whose second worker with a network needs no PyTorch.

It starts in a third of the time of a core that a worker with PyTorch takes, and an image takes a quarter of it.
"""

from typing import Any

from support import run

MODEL = {**run.MODEL, "engine": "openvino"}


def profile_document(**times: int) -> dict[str, Any]:
    """Return what support.run does of these times, for this engine."""
    found = run.profile_document(**times)
    found["spec"]["engine"] = MODEL["engine"]
    return found
