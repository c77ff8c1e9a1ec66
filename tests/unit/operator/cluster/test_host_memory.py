"""A GPU's worker asks for the memory of its node that was measured beside the GPU, as far as that is the device's."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.engines import EngineName
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.host_memory import measured_memory
from dueby_operator.cluster.nodes import Node, read_node
from dueby_operator.objects.nodes import NodeObject
from dueby_operator.objects.parse import parse
from dueby_planner.schedule.job import Claimant
from support.decisions import NOW, SETTINGS, Look, indexed, infj, look
from support.operator import profile, spec
from support.profiling import A100, L4

MIB = 2**20
MODEL = Model(name="efficientnet_lite0", engine="auto")


def measured(*peaks_mib: int | None, device_class: str = L4, engine: EngineName = "cudagraph") -> GPUProfile:
    """Return a profile with these peaks beside the GPU, each at a larger mini-batch size."""
    found = profile(device_class)
    (step,) = found.spec.steps
    steps = tuple(
        step.replace(mini_batch_size=step.mini_batch_size * 2**place, host_memory_mib=peak)
        for place, peak in enumerate(peaks_mib)
    )
    return found.replace(spec=found.spec.replace(steps=steps, engine=engine))


@pytest.mark.parametrize(
    ("profiles", "model", "device_class", "mib"),
    [
        pytest.param([measured(2000, 2400)], MODEL, L4, 3000, id="a quarter more than the largest peak"),
        pytest.param([measured(2400)], MODEL, f"{L4}@slow", 3000, id="of a slow node what its product needs"),
        pytest.param(
            [measured(2400), measured(1600, engine="cuda")], MODEL, L4, 3000, id="of the engine that needs most"
        ),
        pytest.param(
            [measured(2400), measured(1600, engine="cuda")],
            MODEL.replace(engine="cuda"),
            L4,
            2000,
            id="of the job's own engine",
        ),
        pytest.param([measured(2400)], MODEL, A100, 0, id="of another class nothing"),
        pytest.param([measured(2400)], MODEL.replace(image_size=320), L4, 0, id="of another image size nothing"),
        pytest.param([measured(None)], MODEL, L4, 0, id="an older profile says nothing"),
    ],
)
def test_what_a_worker_needs_is_what_was_measured(
    profiles: list[GPUProfile], model: Model, device_class: str, mib: int
) -> None:
    assert measured_memory(profiles).needed_by(model, device_class) == mib * MIB


def gpu_node(memory: str) -> Node:
    """Return a node with four L4s and so much memory."""
    allocatable = {"cpu": "16", "memory": memory, "pods": "110", "nvidia.com/gpu": "4"}
    document = {
        "metadata": {"name": f"n-{memory.lower()}", "labels": {"nvidia.com/gpu.product": L4}},
        "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    return read_node(parse(NodeObject, document))


def look_at(of: GPUProfile, *memories: str, **job: Any) -> Look:
    """Decide on a job that may use the L4s of nodes with so much memory."""
    nodes = {node.name: node for node in map(gpu_node, memories)}
    document = infj(status=indexed(), gpus={"classes": [L4]}, **job)
    return look(document, profiles=(of,), nodes=nodes)


def resources(found: Look) -> dict[str, Any]:
    """What the container of the workers' pods asks for, and the most that it may use."""
    (create,) = found.created
    container: dict[str, Any] = create.job["spec"]["template"]["spec"]["containers"][0]
    return dict(container["resources"])


@pytest.mark.parametrize(
    ("memories", "peak_mib", "asked"),
    [
        pytest.param(["64Gi"], 2400, "3000Mi", id="what was measured"),
        pytest.param(["64Gi"], 400, "2Gi", id="no less than the settings say"),
        pytest.param(["64Gi", "12Gi"], 2400, "2764Mi", id="no more than belongs to the device on each of the nodes"),
        pytest.param(["8Gi"], 2400, "2Gi", id="where nothing more belongs to it, what the settings say"),
        pytest.param(["64Gi"], None, "2Gi", id="what the settings say, if it was not measured"),
    ],
)
def test_a_pod_asks_for_what_was_measured_where_there_is_as_much(
    memories: list[str], peak_mib: int | None, asked: str
) -> None:
    assert resources(look_at(measured(peak_mib), *memories))["requests"]["memory"] == asked


def test_its_limit_follows_and_a_jobs_own_request_counts() -> None:
    assert resources(look_at(measured(2400), "64Gi"))["limits"]["memory"] == "12000Mi"
    own = {"resources": {"requests": {"memory": "1Gi"}}}
    assert resources(look_at(measured(2400), "64Gi", worker=own))["requests"]["memory"] == "1Gi"


@pytest.mark.parametrize(("peak_mib", "free"), [(2400, 3), (None, 4)])
def test_a_device_beside_which_other_pods_have_left_too_little_is_taken(peak_mib: int | None, free: int) -> None:
    # Of 12 GiB, 10.5 are free: beside the other pod there is room for three workers of 2,764 MiB, or four of 2 GiB.
    whole = gpu_node("12Gi")
    node = replace(whole, free={**whole.free, "memory": 10.5 * 2**30})
    devices = ClusterDevices(
        settings=SETTINGS, now_us=NOW, nodes={"n": node}, host_memory=measured_memory([measured(peak_mib)])
    )
    asked = spec(gpus={"classes": [L4]})
    assert devices.offer("team", asked, classes=[L4]).counts == {L4: free}
    (group,) = devices.groups([Claimant(key=("team", "job"), spec=asked, classes=(L4,))]).all
    assert (group.devices, group.idle) == (4, free)
