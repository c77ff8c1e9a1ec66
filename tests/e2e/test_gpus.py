"""Two classes of GPUs that only the scheduler and the operator believe in, with different profiles."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from builders_cluster import WORKER_NODES, Cluster
from builders_cluster_job import indices_of, job, share_photos
from builders_run import profile_document

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
GPU, LABEL, EACH = "nvidia.com/gpu", "nvidia.com/gpu.product", 4
# How long each says that it takes for 8 images: by the deadline of 10 minutes four of the fast ones do 256 of them.
CLASSES = {"NVIDIA-A100-SXM4-40GB": 60_000_000, "NVIDIA-L4": 90_000_000}
IMAGES = 270


def profile(device_class: str) -> dict[str, Any]:
    found = profile_document(latency_us=CLASSES[device_class])
    found["metadata"]["name"] = device_class.lower()
    found["spec"] |= {"deviceClass": device_class, "device": {}}
    return found


@pytest.fixture
def gpus(cluster: Cluster) -> Iterator[None]:
    """Four of a class on each of the two nodes, as the device plugin and GPU feature discovery would show them."""
    path = f"/status/capacity/{GPU.replace('/', '~1')}"
    for node, device_class in zip(WORKER_NODES, CLASSES, strict=True):
        added = [{"op": "add", "path": path, "value": str(EACH)}]
        cluster.kubectl("patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps(added))
        cluster.kubectl("label", "node", node, f"{LABEL}={device_class}")
        cluster.apply(profile(device_class))
    yield
    for node in WORKER_NODES:
        removed = [{"op": "remove", "path": path}]
        cluster.kubectl("patch", "node", node, "--subresource=status", "--type=json", "-p", json.dumps(removed))
        cluster.kubectl("label", "node", node, f"{LABEL}-")
    cluster.kubectl("delete", "gprof", *(device_class.lower() for device_class in CLASSES))


def planned(folder: Path, document: dict[str, Any]) -> list[tuple[str, int]]:
    """Class and count of each group that `dueby plan` plans for the same job and GPUs."""
    (folder / "job.yaml").write_text(yaml.safe_dump(document))
    (folder / "profiles.yaml").write_text(yaml.safe_dump_all(map(profile, CLASSES)))
    pool = [word for device_class in CLASSES for word in ("--pool", f"{device_class}={EACH}")]
    command = [sys.executable, "-m", "dueby.command.main", "plan", "-f", str(folder / "job.yaml"), *pool]
    command += ["--profiles", str(folder / "profiles.yaml"), "-o", "json"]
    plan = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return [(group["deviceClass"], group["count"]) for group in plan["groups"]]


@pytest.mark.usefixtures("gpus")
def test_of_two_classes_the_plan_takes_what_the_planner_says(cluster: Cluster, tmp_path: Path) -> None:
    folder = share_photos(cluster, "gpus", IMAGES)
    document = job("gpus", images=IMAGES, gpus={"classes": list(CLASSES)})
    # So small that four of them fit on a node of two cores.
    document["spec"]["worker"]["resources"] = {"requests": {"cpu": "300m", "memory": "500Mi"}}
    cluster.apply(document)
    done = cluster.wait_for_phase("gpus", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    expected = planned(tmp_path, document)
    assert len(expected) == len(CLASSES)
    assert [(group["deviceClass"], group["count"]) for group in done["status"]["plan"]["groups"]] == expected

    jobs = cluster.items("jobs", "dueby.dev/job=gpus,dueby.dev/step=work,dueby.dev/revision=1")
    pods = {made["spec"]["template"]["spec"]["nodeSelector"][LABEL]: made["spec"] for made in jobs}
    assert {name: made["completions"] for name, made in pods.items()} == dict(expected)
    for made in pods.values():
        assert made["template"]["spec"]["containers"][0]["resources"]["limits"][GPU] == "1"
    assert indices_of(folder / "rows") == list(range(IMAGES))
