"""A model that was never measured, on a core or on GPUs that only the scheduler believes in: profiled, then run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.kind.cluster import OPERATOR_NAMESPACE, Cluster, call
from support.kind.cluster_job import indices_of, job, share_photos, wait_until_told
from support.kind.example_jobs import example_documents
from support.kind.gpus import GPU, add_gpus, remove_gpus
from support.kind.model import MODEL, profile_document

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
CLASS = "NVIDIA-H100-PCIe"
ON_DEMAND = "dueby.dev/on-demand"
IMAGES = 100
# An engine on CPUs, since there is no GPU behind the label: what is measured are the cores beside it.
NEW = {**MODEL, "imageSize": 80}
NAME = f"nvidia-h100-pcie-mobilenet-v3-small-80-fp32-{MODEL['engine']}"


@pytest.fixture
def gpu(cluster: Cluster) -> Iterator[str]:
    """The node that has one."""
    node = cluster.nodes[0]
    add_gpus(cluster, node, CLASS)
    yield node
    remove_gpus(cluster, node)
    forget(cluster, CLASS)


def forget(cluster: Cluster, device_class: str) -> None:
    """Delete what was measured of the class for jobs of this namespace."""
    measured = [
        each["metadata"]["name"]
        for each in cluster.items("jobs", ON_DEMAND, namespace=OPERATOR_NAMESPACE)
        if each["metadata"]["annotations"]["dueby.dev/begun-for"] == cluster.namespace
    ]
    if measured:  # what a pod has measured is written down for as long as it is there
        cluster.kubectl("delete", "job", "-n", OPERATOR_NAMESPACE, "--cascade=foreground", "--wait", *measured)
    found = cluster.items("gprof", "app.kubernetes.io/managed-by=dueby")
    made = [each["metadata"]["name"] for each in found if each["spec"]["deviceClass"] == device_class]
    cluster.kubectl("delete", "gprof", *made)


def table(cluster: Cluster) -> dict[str, list[str]]:
    """What `kubectl get gprof` shows, by name."""
    lines = cluster.kubectl("get", "gprof").splitlines()
    columns = ["NAME", "CLASS", "MODEL", "SIZE", "PRECISION", "ENGINE", "IMAGES/S", "NODE", "CURRENT", "MEASURED"]
    assert lines[0].split() == columns
    return {line.split()[0]: line.split()[1:] for line in lines[1:]}


def test_a_model_that_was_never_measured_is_profiled_and_then_run(cluster: Cluster, gpu: str) -> None:
    # What the operator made of the class's name, about something else, is no obstacle.
    leftover = profile_document()
    leftover["metadata"] |= {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "dueby"}}
    leftover["spec"] |= {"deviceClass": "NVIDIA-OLD", "device": {}}
    cluster.apply(leftover)
    folder = share_photos(cluster, "profiled", IMAGES)
    cluster.apply(job(cluster, "profiled", model=NEW, gpus={"classes": [CLASS]}))

    # The images are counted at the same time, and it depends on the machine which of the two the phase tells of.
    said = wait_until_told(cluster, "profiled", "Profiled", "left", reason="Profiling")
    assert said["status"] == "False"
    assert f"{CLASS}: " in said["message"]
    assert not cluster.items("jobs", "dueby.dev/job=profiled,dueby.dev/step=profile"), "no pod that a tenant can touch"
    # Other lanes may have classes measured, too.
    measuring = cluster.items("jobs", ON_DEMAND, namespace=OPERATOR_NAMESPACE)
    (work,) = [each for each in measuring if CLASS.lower() in each["metadata"]["name"]]
    pod = work["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"][GPU] == "1"
    assert pod["automountServiceAccountToken"] is False

    done = cluster.wait_for_phase("profiled", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    (group,) = done["status"]["plan"]["groups"]
    assert (group["deviceClass"], group["profile"]) == (CLASS, NAME)
    assert indices_of(folder / "rows") == list(range(IMAGES))

    shown = table(cluster)
    assert shown[NAME][:5] == [CLASS, NEW["name"], "80", "fp32", MODEL["engine"]]
    own = cluster.get("gprof", f"{NAME}-{gpu}")
    assert [row[5].isdecimal() and int(row[5]) > 0 for row in (shown[NAME], shown[f"{NAME}-{gpu}"])] == [True, True]
    assert shown[f"{NAME}-{gpu}"][6] == gpu
    assert [(owner["kind"], owner["name"]) for owner in own["metadata"]["ownerReferences"]] == [("Node", gpu)]
    assert "ownerReferences" not in cluster.get("gprof", NAME)["metadata"]


@pytest.fixture
def core_example(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """The job of examples/cluster/cpu.yaml, applied with its claim as they are, but for the nodes of this file."""
    claim, document = example_documents("cpu")
    document["spec"]["worker"]["nodeSelector"] = cluster.node_selector
    cluster.apply(claim, document)
    yield document
    cluster.kubectl("delete", "infj", document["metadata"]["name"])
    cluster.kubectl("delete", "pvc", claim["metadata"]["name"], "--wait=false")
    forget(cluster, "cpu-1")


def copy_of_claim(cluster: Cluster, claim: str, folder: Path) -> Path:
    """Copy what is on the claim from the node whose disk it is on into the folder."""

    def spec_of(kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(cluster.kubectl("get", kind, name, "-o", "json"))["spec"]
        return found

    volume = spec_of("pv", spec_of("pvc", claim)["volumeName"])
    # Which of the two it is depends on the version of kind.
    place = volume.get("hostPath") or volume["local"]
    call("docker", "cp", f"{cluster.nodes[0]}:{place['path']}/.", str(folder))
    return folder


def test_the_example_without_gpus_runs_as_it_is(cluster: Cluster, core_example: dict[str, Any], tmp_path: Path) -> None:
    name, spec = core_example["metadata"]["name"], core_example["spec"]
    wait_until_told(cluster, name, "Profiled", "cpu-1: ", reason="Profiling")
    wait_until_told(cluster, name, "Profiled", reason="Profiled")
    status = cluster.wait_for_phase(name, "Succeeded", "Failed")["status"]
    assert status["phase"] == "Succeeded", status
    assert {group["deviceClass"] for group in status["plan"]["groups"]} == {"cpu-1"}
    (volume,) = spec["worker"]["volumes"]
    rows = copy_of_claim(cluster, volume["persistentVolumeClaim"]["claimName"], tmp_path)
    assert indices_of(rows) == list(range(spec["images"]))
    assert (rows / "_SUCCESS").exists()
