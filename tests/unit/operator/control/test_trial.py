"""The pod that a job is tried with before anything is reserved for it."""

from dataclasses import replace
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.control.trial import is_passing, needs_trial, require_kept_sink, trial_pod
from dueby_operator.jobs.manifests import Owner
from dueby_operator.model.job_snapshot import JobMemory, JobSnapshot
from support.decisions import MADE, NOW, SETTINGS, infj, job, node, started
from support.profiling import A100, gpu_node, nodes

Document = dict[str, Any]


def manifest(**spec: Any) -> InferenceJob:
    found = job(infj(**spec)).manifest
    assert isinstance(found, InferenceJob)
    return found


def tried(**spec: Any) -> Document:
    """Return the pod of a job in a cluster with a GPU and a node without."""
    devices = ClusterDevices(settings=SETTINGS, now_us=NOW, nodes=nodes(gpu_node("gpu"), node()))
    return trial_pod(Owner(job=manifest(**spec), namespace="team", uid="u-1"), devices)


def seen(*, generation: int | None, admitted: str = "", memory: JobMemory | None = None) -> JobSnapshot:
    said = {"type": "Admitted", "status": "False", "reason": admitted, "message": "", "lastTransitionTime": MADE}
    status = {"conditions": [said] if admitted else []} | ({"observedGeneration": generation} if generation else {})
    return job(infj(status=status, metadata={"generation": 2}), memory=memory or JobMemory())


@pytest.mark.parametrize(
    ("snapshot", "needed"),
    [
        pytest.param(seen(generation=None), True, id="a new job"),
        pytest.param(seen(generation=1), True, id="an edited job"),
        pytest.param(seen(generation=2), False, id="a job that was tried"),
        pytest.param(seen(generation=2, admitted="Forbidden"), True, id="one whose pods were forbidden"),
        pytest.param(seen(generation=2, admitted="PodsNotCreated"), True, id="one that gets no pods"),
        pytest.param(
            seen(generation=2, admitted="Forbidden", memory=JobMemory(refused_until_us=NOW + 1)),
            False,
            id="not again at once",
        ),
        pytest.param(replace(started().job(), generation=7), False, id="not while its workers are there"),
    ],
)
def test_a_job_is_tried_when_it_is_new_and_while_its_pods_are_forbidden(snapshot: JobSnapshot, needed: bool) -> None:
    assert needs_trial(snapshot, now_us=NOW) is needed


@pytest.mark.parametrize(
    ("classes", "limits"),
    [
        pytest.param([], {"nvidia.com/gpu": "1"}, id="any GPU"),
        pytest.param([A100], {"nvidia.com/gpu": "1"}, id="the GPU that it names"),
        pytest.param(["cpu-8", "cpu-2"], {"cpu": "2"}, id="the least of the slices that it names"),
    ],
)
def test_the_pod_is_a_workers_on_what_asks_for_least(classes: list[str], limits: Document) -> None:
    pod = tried(gpus={"classes": classes}, model={"name": "a", "engine": "openvino" if limits.get("cpu") else "auto"})
    assert (pod["kind"], pod["metadata"]["namespace"]) == ("Pod", "team")
    (container,) = pod["spec"]["containers"]
    assert limits.items() <= container["resources"]["limits"].items()
    assert container["args"][0] == "work"


@pytest.mark.parametrize(
    ("refusal", "worker", "passes"),
    [
        pytest.param('pods "a" is forbidden: exceeded quota: gpus', {}, True, id="a full quota"),
        pytest.param('error looking up service account team/default: "default" not found', {}, True, id="new"),
        pytest.param(
            'forbidden: error looking up service account team/a: "a" not found',
            {"serviceAccountName": "a"},
            False,
            id="an account that is named and missing",
        ),
        pytest.param('forbidden: violates PodSecurity "restricted:latest"', {}, False, id="Pod Security"),
    ],
)
def test_what_passes_by_itself_is_waited_for(refusal: str, worker: Document, passes: bool) -> None:
    assert is_passing(refusal, manifest(worker=worker).spec) is passes


VOLUMES = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "cache", "emptyDir": {}}]
MOUNTS = [
    {"name": "data", "mountPath": "/data"},
    {"name": "data", "mountPath": "/data/photos/", "readOnly": True},
    {"name": "cache", "mountPath": "/cache"},
]


@pytest.mark.parametrize("uri", ["/data/rows", "file:///data/rows/", "/data", "s3://bucket/rows", "/data/photos2"])
def test_a_sink_on_a_volume_is_taken(uri: str) -> None:
    require_kept_sink(*with_sink(uri))


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        pytest.param("rows", "is on no volume", id="a relative path"),
        pytest.param("/other/rows", "is on no volume", id="a path without a volume"),
        pytest.param("/database", "is on no volume", id="a path whose name begins as a volume's"),
        pytest.param("/data/../etc", "is on no volume", id="a path that leads out of its volume"),
        pytest.param("/cache/rows", "is in an emptyDir", id="a volume that goes with the pod"),
        pytest.param("/tmp/rows", "is in an emptyDir", id="the scratch of DueBy's"),
        pytest.param("file:///data/photos/rows", "mounted readOnly, at /data/photos/", id="a volume to read from"),
    ],
)
def test_a_sink_that_would_go_with_its_pods_is_refused_with_a_sentence(uri: str, told: str) -> None:
    with pytest.raises(Invalid, match=told) as refused:
        require_kept_sink(*with_sink(uri))
    assert refused.value.field == "spec.sink.uri"


def with_sink(uri: str) -> tuple[InferenceJob, Document]:
    spec: Document = {"sink": {"uri": uri}, "worker": {"volumes": VOLUMES, "volumeMounts": MOUNTS}}
    return manifest(**spec), tried(**spec)
