"""What the cluster's jobs run, and a profile for it: smaller images than those of jobs without a cluster.

An image takes a third of a millisecond, and leaves the cores to other tests. Workers that must be slow have less of a
core (SLOW in cluster_job.py).
"""

from typing import Any

from support import run

MODEL = {**run.MODEL, "imageSize": 64}


def profile_document(**times: int) -> dict[str, Any]:
    """Return what support.run does of these times, for this model."""
    found = run.profile_document(**times)
    found["spec"]["model"]["imageSize"] = MODEL["imageSize"]
    return found
