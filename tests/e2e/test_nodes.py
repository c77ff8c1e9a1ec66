"""Nodes of one class of which one is slow, and an image size that was never measured, on GPUs that nobody has."""

from collections.abc import Iterator
from typing import Any

import pytest

from support.kind.cluster import Cluster
from support.kind.cluster_job import condition, indices_of, job, share_photos
from support.kind.gpus import SMALL, add_gpus, remove_gpus
from support.kind.model import MODEL, profile_document
from support.lanes import nodes_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900, func_only=True)]
CLASS = "NVIDIA-A10"
FAST, SLOW = nodes_of("test_nodes")
OWN = f"{CLASS}@{SLOW}"
# For 8 images. By the deadline of 10 minutes a fast one does 80 of them and a slow one 56.
FAST_US, SLOW_US = 60_000_000, 84_000_000
STEM = "nvidia-a10-mobilenet-v3-small"


def measured_on(node: str, latency_us: int) -> dict[str, Any]:
    """A node's profile, as `dueby profile` writes it."""
    found = profile_document(latency_us=latency_us)
    found["metadata"]["name"] = f"a10-on-{node}"
    found["spec"] |= {"deviceClass": CLASS, "device": {"node": node}}
    return found


@pytest.fixture
def two_nodes(cluster: Cluster) -> Iterator[None]:
    """One GPU of the class on each of two nodes."""
    for node in cluster.nodes:
        add_gpus(cluster, node, CLASS)
    yield
    for node in cluster.nodes:
        remove_gpus(cluster, node)
    # Nodes' profiles first, or the class's would be made again.
    for of_nodes in (True, False):
        there = {name: row["node"] for name, row in table(cluster).items() if row["class"] in (CLASS, OWN)}
        if found := [name for name, node in there.items() if bool(node) is of_nodes]:
            cluster.kubectl("delete", "gprof", "--ignore-not-found", *found)


def table(cluster: Cluster) -> dict[str, dict[str, str]]:
    """Class and node of each GPUProfile, by its name."""
    items = cluster.items("gprof", "")
    return {
        item["metadata"]["name"]: {
            "class": item["spec"]["deviceClass"],
            "node": item["spec"].get("device", {}).get("node", ""),
        }
        for item in items
    }


def classes(cluster: Cluster) -> set[str]:
    """The classes of GPUs that have a profile of their own."""
    return {row["class"] for row in table(cluster).values() if not row["node"]} & {CLASS, OWN}


def kept_on(work: dict[str, Any]) -> tuple[str, tuple[str, str]]:
    """The class of a Job's workers, and the node that they are kept on or off."""
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    affinity = work["spec"]["template"]["spec"]["affinity"]["nodeAffinity"][required]
    # They may be kept off nodes that another file's tests have killed, too.
    fields = affinity["nodeSelectorTerms"][0]["matchFields"]
    (field,) = (field for field in fields if {FAST, SLOW} & set(field["values"]))
    return work["metadata"]["annotations"]["dueby.dev/device-class"], (field["operator"], field["values"][0])


@pytest.mark.usefixtures("two_nodes")
def test_a_node_that_is_forty_percent_slower_is_a_class_of_its_own_until_it_recovers(cluster: Cluster) -> None:
    cluster.apply(measured_on(FAST, FAST_US), measured_on(SLOW, SLOW_US))
    cluster.wait(lambda: classes(cluster) == {CLASS, OWN}, "the slow node is a class of its own")
    shown = cluster.kubectl("get", "gprof")
    assert f"{OWN} " in shown
    own = cluster.get("gprof", f"{STEM}-64-fp32-{MODEL['engine']}".replace("nvidia-a10", f"nvidia-a10-{SLOW}"))
    assert own["spec"]["steps"][0]["latencyMicros"]["mean"] == SLOW_US
    of_class = cluster.get("gprof", f"{STEM}-64-fp32-{MODEL['engine']}")
    assert of_class["spec"]["steps"][0]["latencyMicros"]["mean"] == FAST_US

    for name, images, planned in (("fast-first", 40, [CLASS]), ("both", 100, [CLASS, OWN])):
        folder = share_photos(cluster, name, images)
        document = job(cluster, name, gpus={"classes": [CLASS]})
        document["spec"]["worker"]["resources"] = SMALL
        cluster.apply(document)
        done = cluster.wait_for_phase(name, "Succeeded", "Failed")
        assert done["status"]["phase"] == "Succeeded", done["status"]
        assert [group["deviceClass"] for group in done["status"]["plan"]["groups"]] == planned
        assert indices_of(folder / "rows") == list(range(images))
        works = cluster.items("jobs", f"dueby.dev/job={name},dueby.dev/step=work,dueby.dev/revision=1")
        where = {CLASS: ("NotIn", SLOW), OWN: ("In", SLOW)}
        assert dict(map(kept_on, works)) == {found: where[found] for found in planned}

    cluster.apply(measured_on(SLOW, FAST_US * 105 // 100))
    cluster.wait(lambda: classes(cluster) == {CLASS}, "the node is of its class again")
    merged = cluster.get("gprof", f"{STEM}-64-fp32-{MODEL['engine']}")
    assert merged["spec"]["steps"][0]["latencyMicros"]["mean"] == FAST_US * 205 // 200


@pytest.mark.deep
@pytest.mark.usefixtures("two_nodes")
def test_a_job_of_a_new_image_size_is_planned_on_a_prediction_and_leaves_no_profile(cluster: Cluster) -> None:
    images = 400
    cluster.apply(measured_on(FAST, 100_000))
    cluster.wait(lambda: classes(cluster) == {CLASS}, "the class has a profile")
    folder = share_photos(cluster, "predicted", images)
    document = job(cluster, "predicted", model={**MODEL, "imageSize": 96}, gpus={"classes": [CLASS]})
    document["spec"]["worker"]["resources"] = SMALL
    cluster.apply(document)
    done = cluster.wait_for_phase("predicted", "Succeeded", "Failed")
    assert done["status"]["phase"] == "Succeeded", done["status"]
    said = condition(done, "Profiled")
    assert (said["status"], said["reason"]) == ("True", "Predicted")
    assert f"{STEM}-64-fp32-{MODEL['engine']}, at 64 px" in said["message"]
    name = f"{STEM}-96-fp32-{MODEL['engine']}-predicted"
    assert [group["profile"] for group in done["status"]["plan"]["groups"]] == [name]
    assert any("is predicted from" in warning for warning in done["status"]["plan"]["warnings"])
    assert indices_of(folder / "rows") == list(range(images))
    assert not cluster.items("jobs", "dueby.dev/job=predicted,dueby.dev/step=profile")
    # What is predicted is worked out for each plan: anybody may ask for any size.
    assert name not in {found["metadata"]["name"] for found in cluster.items("gprof", "")}
