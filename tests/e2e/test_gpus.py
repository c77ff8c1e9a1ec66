"""Two classes of GPUs that only the scheduler and the operator believe in, with different profiles."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.kind.cluster import Cluster
from support.kind.cluster_job import indices_of, job, share_photos
from support.kind.example_jobs import PHOTOS, claimed, example, run_example
from support.kind.gpus import EACH, GPU, LABEL, SMALL, fake_gpus, gpu_profile
from support.run import write_photos

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
# How long each says that it takes for 8 images: by the deadline of 10 minutes four of the fast ones do 288 of them.
CLASSES = {"NVIDIA-A100-SXM4-40GB": 60_000_000, "NVIDIA-L4": 90_000_000}
# More than four of the fast ones do, so that one of the others is needed.
IMAGES = 300


def planned(folder: Path, document: dict[str, Any]) -> list[tuple[str, int]]:
    """Class and count of each group that `dueby plan` plans for the same job and GPUs."""
    (folder / "job.yaml").write_text(yaml.safe_dump(document))
    (folder / "profiles.yaml").write_text(yaml.safe_dump_all(gpu_profile(*each) for each in CLASSES.items()))
    pool = [word for device_class in CLASSES for word in ("--pool", f"{device_class}={EACH}")]
    command = [sys.executable, "-m", "dueby.cli.main", "plan", "-f", str(folder / "job.yaml"), *pool]
    command += ["--profiles", str(folder / "profiles.yaml"), "-o", "json"]
    plan = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return [(group["deviceClass"], group["count"]) for group in plan["groups"]]


@pytest.fixture
def gpus(cluster: Cluster) -> Iterator[None]:
    """Four of each class, which nothing but the scheduler and the operator believes in."""
    with fake_gpus(cluster, CLASSES):
        yield


@pytest.mark.deep
@pytest.mark.usefixtures("gpus")
def test_the_example_of_mixed_gpus(cluster: Cluster) -> None:
    document = example(cluster, "mixed-gpus")
    document["spec"]["worker"]["resources"] = SMALL
    with claimed(cluster, "photos") as folder:
        write_photos(folder / "photos", PHOTOS)
        status = run_example(cluster, document)
        groups = {group["deviceClass"] for group in status["plan"]["groups"]}
        assert groups <= set(document["spec"]["gpus"]["classes"])
        assert indices_of(folder / "mixed-classified") == list(range(PHOTOS))


@pytest.mark.usefixtures("gpus")
def test_of_two_classes_the_plan_takes_what_the_planner_says(cluster: Cluster, tmp_path: Path) -> None:
    folder = share_photos(cluster, "gpus", IMAGES)
    document = job(cluster, "gpus", images=IMAGES, gpus={"classes": list(CLASSES)})
    document["spec"]["worker"]["resources"] = SMALL
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
