"""The Kubernetes objects of a job, as documents."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.inference_job import parse_job
from dueby_api.schema import Spec, validate
from dueby_api.step_config import LOSSES_VARIABLE, FinishConfig, IndexConfig, WorkConfig
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.cluster.nodes import SLICE_CPUS, DeviceKind
from dueby_operator.cluster.spot import SPOT_LABELS
from dueby_operator.jobs.manifests import (
    MAX_WORKERS_OF_JOB,
    Objects,
    Owner,
    read_assignments,
    step_job_name,
    step_objects,
    worker_objects,
)
from dueby_operator.model.actions import StartWorkers, StepName
from dueby_operator.objects.jobs import ConfigMap
from dueby_operator.objects.parse import parse
from dueby_operator.settings import OperatorSettings, read_cache
from dueby_planner.schedule.job import Assignment
from dueby_worker.steps.command import load_config
from support.node_pools import pool
from support.operator import worker

SETTINGS = OperatorSettings(image="dueby/worker:1")
SLICE = DeviceKind()
SPEC: dict[str, Any] = {"deadline": "10m", "source": {"uri": "s3://a/b"}, "sink": {"uri": "s3://a/c"}}


def owner(**spec: Any) -> Owner:
    document = {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {"name": "job", "namespace": "team", "uid": "u-1"},
        "spec": SPEC | spec,
    }
    return Owner(job=parse_job(document), namespace="team", uid="u-1")


def workers(
    *,
    device: DeviceKind = SLICE,
    avoid: Sequence[str] = (),
    rather: Sequence[str] = (),
    settings: OperatorSettings = SETTINGS,
    is_spot: bool | None = None,
    **spec: Any,
) -> Objects:
    assignments = tuple(worker(f"w{i}", first=10 * i, end=10 * i + 10).assignment for i in range(2))
    start = StartWorkers(
        assignments=assignments,
        revision=1,
        images=200,
        part_size=10,
        fingerprint="f",
        reason="Started",
        nodes={assignments[0].device_class: tuple(rather)},
    )
    return worker_objects(
        owner(**spec), settings, start, assignments=assignments, device=device, avoid=avoid, is_spot=is_spot
    )


def test_no_job_is_a_gang() -> None:
    for made in (workers(), step_objects(owner(), SETTINGS, "index")):
        assert made.job["spec"]["scheduling"] == {"schedulingPolicy": {"basic": {}}}


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = job["spec"]["template"]["spec"]
    return spec


def test_what_the_steps_are_told_is_what_they_take() -> None:
    steps: tuple[tuple[StepName, type[Spec]], ...] = (("index", IndexConfig), ("finish", FinishConfig))
    for step, kind in steps:
        told = json.loads(step_objects(owner(), SETTINGS, step).config_map["data"]["config.json"])
        assert validate(kind, told)
        assert (told["host"], told["port"]) == ("0.0.0.0", 8080), "where the operator asks"


def test_steps_and_workers_are_told_whose_rows_they_are() -> None:
    restored = replace(owner(), created_us=5, is_restored=True)
    told = json.loads(step_objects(restored, SETTINGS, "index").config_map["data"]["config.json"])
    assert {name: told[name] for name in ("uid", "createdUnixMicros", "isRestored")} == {
        "uid": "u-1",
        "createdUnixMicros": 5,
        "isRestored": True,
    }
    assert json.loads(workers().config_map["data"]["config.json"])["uid"] == "u-1"
    assert json.loads(step_objects(restored, SETTINGS, "finish").config_map["data"]["config.json"])["uid"] == "u-1"
    # An InferenceJob that is read again has the same step.
    assert step_job_name(restored, "index") == step_job_name(owner(), "index")


def test_every_worker_finds_its_share_by_its_index(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(workers().config_map["data"]["config.json"])
    second = load_config(WorkConfig, path, index=1)
    assert (second.worker, second.share, second.place) == ("w1", (10, 20), 1)


def assignments_of(config_map: dict[str, Any]) -> list[Assignment]:
    return read_assignments(parse(ConfigMap, config_map))


def test_an_operator_that_starts_again_reads_the_assignments_that_were_made() -> None:
    made = workers()
    assert made.config_map["immutable"] is True
    assert [a.worker for a in assignments_of(made.config_map)] == ["w0", "w1"]
    assert assignments_of(made.config_map)[1] == worker("w1", first=10, end=20).assignment
    assert made.job["spec"]["completions"] == 2


@pytest.mark.parametrize("wrong", ["", "w", "worker", "w1234567", "w-1"])
def test_a_config_map_that_names_a_worker_of_no_plan_is_refused(wrong: str) -> None:
    made = workers()
    data = {"plan.json": made.config_map["data"]["plan.json"].replace('"w1"', f'"{wrong}"')}
    with pytest.raises(Invalid, match="is no worker's name, such as w12"):
        assignments_of({**made.config_map, "data": data})


def test_a_config_map_with_more_workers_than_a_job_has_is_refused_however_short_it_is() -> None:
    made = workers()
    common = json.loads(made.config_map["data"]["plan.json"])["common"] | {"worker": "w0", "share": [0, 1]}
    plans = [{"common": common, "assignments": [{}] * count} for count in (MAX_WORKERS_OF_JOB, MAX_WORKERS_OF_JOB + 1)]
    most, more = ({**made.config_map, "data": {"plan.json": json.dumps(plan)}} for plan in plans)
    assert len(assignments_of(most)) == MAX_WORKERS_OF_JOB
    with pytest.raises(Invalid, match="has 1,001 workers; a Job has at most 1000"):
        assignments_of(more)


def test_pods_are_restricted_and_hold_no_credentials_of_kubernetes() -> None:
    pod = pod_of(workers().job)
    assert pod["automountServiceAccountToken"] is False
    # The user is the image's. What OpenShift is asked for is this group (docs/platform/security-contexts.md).
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
        "fsGroup": 10001,
        "fsGroupChangePolicy": "OnRootMismatch",
    }
    container = pod["containers"][0]["securityContext"]
    assert container["readOnlyRootFilesystem"] is True
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert not {"runAsUser", "runAsGroup"} & container.keys()


def test_no_pod_takes_its_nodes_memory_or_disk() -> None:
    steps: tuple[StepName, ...] = ("index", "finish")
    for job, memory in (
        (workers().job, "8192Mi"),
        *((step_objects(owner(), SETTINGS, s).job, "4096Mi") for s in steps),
    ):
        pod = pod_of(job)
        assert pod["containers"][0]["resources"]["limits"]["memory"] == memory
        assert {"name": "dueby-scratch", "emptyDir": {"sizeLimit": "16Gi"}} in pod["volumes"]


def test_a_gpu_is_asked_for_by_resource_and_label() -> None:
    device = DeviceKind(resource="nvidia.com/gpu", selector={"nvidia.com/gpu.product": "A100"})
    pod = pod_of(workers(device=device).job)
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "A100"}


def test_helpers_keep_away_from_nodes_that_have_fallen_silent() -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    assert "affinity" not in pod_of(workers().job)
    (term,) = pod_of(workers(avoid=["b", "a"]).job)["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
    assert [(field["key"], field["operator"], field["values"]) for field in term["matchFields"]] == [
        ("metadata.name", "NotIn", ["a"]),
        ("metadata.name", "NotIn", ["b"]),
    ]


@pytest.mark.parametrize("is_spot", [True, False])
def test_pods_are_kept_on_the_kind_of_node_that_they_are_planned_on(*, is_spot: bool) -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    settings = replace(SETTINGS, node_pools=(pool(spot=True), pool(name="day", nodeSelector={"pool": "day"})))
    device = DeviceKind(resource="nvidia.com/gpu")
    affinity = pod_of(workers(device=device, is_spot=is_spot, settings=settings).job)["affinity"]["nodeAffinity"]
    labels = [*SPOT_LABELS.items(), ("pool", "burst")]
    terms = [
        [(said["key"], said["operator"], *said["values"]) for said in term["matchExpressions"]]
        for term in affinity[required]["nodeSelectorTerms"]
    ]
    on_spot = [[(name, "In", value)] for name, value in labels]
    assert terms == (on_spot if is_spot else [[(name, "NotIn", value) for name, value in labels]])


def test_pods_of_core_slices_keep_off_nodes_that_say_which_gpu_they_have() -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    device = ClusterDevices(settings=SETTINGS, now_us=0, nodes={}).kind_of("cpu-2")
    assert device is not None
    (term,) = pod_of(workers(device=device).job)["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
    barred = [{"key": label, "operator": "DoesNotExist"} for label in SETTINGS.class_labels]
    assert term == {"matchExpressions": barred}
    (term,) = pod_of(workers(device=device, avoid=["a"]).job)["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
    assert (term["matchExpressions"], len(term["matchFields"])) == (barred, 1), "both hold"


def test_pods_of_core_slices_are_on_nodes_whose_slices_have_so_many_cores() -> None:
    devices = ClusterDevices(settings=SETTINGS, now_us=0, nodes={})
    for device_class, selected, either in (
        ("cpu-2", {SLICE_CPUS: "2"}, [None]),
        ("cpu-1", {}, [{"operator": "DoesNotExist"}, {"operator": "In", "values": ["1"]}]),
    ):
        device = devices.kind_of(device_class)
        assert device is not None
        pod = pod_of(workers(device=device).job)
        assert pod.get("nodeSelector", {}) == selected
        terms = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        last = [term["matchExpressions"][-1] for term in terms]
        assert [
            {name: value for name, value in said.items() if name != "key"} if said["key"] == SLICE_CPUS else None
            for said in last
        ] == either


def test_of_the_nodes_that_are_left_some_are_preferred_but_not_too_many() -> None:
    names = [f"n{number:03}" for number in range(200)]
    affinity = pod_of(workers(rather=names, avoid=["n001"]).job)["affinity"]["nodeAffinity"]
    terms = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    fields = [term["preference"]["matchFields"] for term in terms]
    wanted = [name for name in names if name != "n001"][:100]
    assert [(one["key"], one["operator"], one["values"]) for (one,) in fields] == [
        ("metadata.name", "In", [name]) for name in wanted
    ]


def test_a_worker_is_told_how_often_it_was_lost() -> None:
    variables = {variable["name"]: variable for variable in pod_of(workers().job)["containers"][0]["env"]}
    path = "metadata.annotations['batch.kubernetes.io/job-index-failure-count']"
    assert variables[LOSSES_VARIABLE]["valueFrom"] == {"fieldRef": {"fieldPath": path}}


@pytest.mark.parametrize(
    ("device", "worker", "name"),
    [
        pytest.param(DeviceKind(resource="nvidia.com/gpu"), {}, "nvidia", id="the chart's"),
        pytest.param(DeviceKind(resource="nvidia.com/gpu"), {"runtimeClassName": "mine"}, "mine", id="the job's own"),
        pytest.param(SLICE, {"runtimeClassName": "mine"}, None, id="a slice of cores"),
    ],
)
def test_a_worker_with_a_gpu_has_the_runtime_that_gives_it_one(
    device: DeviceKind, worker: dict[str, Any], name: str | None
) -> None:
    made = workers(device=device, settings=replace(SETTINGS, runtime_class="nvidia"), worker=worker)
    assert pod_of(made.job).get("runtimeClassName") == name
    assert "runtimeClassName" not in pod_of(workers(device=device).job)


CLAIM = {"persistentVolumeClaim": {"claimName": "compiled"}}
FOLDER = {"hostPath": {"path": "/var/lib/dueby", "type": "Directory"}}


def cache_folder_of(made: Objects) -> Any:
    return json.loads(made.config_map["data"]["config.json"])["cacheDir"]


@pytest.mark.parametrize("volume", [CLAIM, FOLDER], ids=["claim", "folder"])
def test_a_worker_keeps_compiled_models_in_a_folder_of_its_own_on_the_charts_volume(volume: dict[str, Any]) -> None:
    settings = replace(SETTINGS, cache=read_cache(json.dumps(volume)))
    own = {"volumes": [{"name": "photos", "nfs": {"server": "s", "path": "/p"}}]}
    made = workers(device=DeviceKind(resource="nvidia.com/gpu"), settings=settings, worker=own)
    pod = pod_of(made.job)
    assert {"name": "dueby-cache", **volume} in pod["volumes"]
    assert "photos" in [one["name"] for one in pod["volumes"]]
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "dueby-cache"]
    # Kubernetes lets a group write to the volume's own folder, which the worker would refuse.
    assert cache_folder_of(made) == f"{mount['mountPath']}/compiled"
    assert not mount.get("readOnly")


def test_an_index_step_finds_there_what_workers_know_of_models_and_a_finish_step_needs_none() -> None:
    settings = replace(SETTINGS, cache=read_cache(json.dumps(CLAIM)))
    index, finish = step_objects(owner(), settings, "index"), step_objects(owner(), settings, "finish")
    (mount,) = [one for one in pod_of(index.job)["containers"][0]["volumeMounts"] if one["name"] == "dueby-cache"]
    assert {"name": mount["name"], **CLAIM} in pod_of(index.job)["volumes"]
    assert cache_folder_of(index) == cache_folder_of(workers(settings=settings)) == f"{mount['mountPath']}/compiled"
    assert "dueby-cache" not in [one["name"] for one in pod_of(finish.job)["volumes"]]
    assert "cacheDir" not in json.loads(step_objects(owner(), SETTINGS, "index").config_map["data"]["config.json"])


def test_without_a_volume_a_worker_keeps_them_as_long_as_its_pod_is_there() -> None:
    made = workers()
    assert cache_folder_of(made) == "/tmp/dueby"
    assert "dueby-cache" not in [one["name"] for one in pod_of(made.job)["volumes"]]


def test_a_worker_has_the_time_for_its_open_part_before_its_pod_is_killed() -> None:
    made = workers()
    config = json.loads(made.config_map["data"]["config.json"])
    assert (config["graceSeconds"], pod_of(made.job)["terminationGracePeriodSeconds"]) == (30, 35)
    assert pod_of(step_objects(owner(), SETTINGS, "index").job)["terminationGracePeriodSeconds"] == 5


@pytest.mark.parametrize(
    ("spec", "priority"),
    [
        ({"deadlineClass": "BestEffort"}, "dueby-best-effort"),
        ({"deadlineClass": "BestEffort", "worker": {"priorityClassName": "mine"}}, "mine"),
        ({"deadlineClass": "Relaxed"}, None),
    ],
)
def test_workers_of_best_effort_jobs_are_below_all_others(spec: dict[str, Any], priority: str | None) -> None:
    settings = replace(SETTINGS, best_effort_priority="dueby-best-effort")
    made = workers(settings=settings, **spec)
    assert pod_of(made.job).get("priorityClassName") == priority
    assert "priorityClassName" not in pod_of(workers(deadlineClass="BestEffort").job)


def test_everything_goes_with_the_job() -> None:
    made = workers()
    for document in (made.config_map, made.job):
        reference = document["metadata"]["ownerReferences"][0]
        assert (reference["uid"], reference["controller"]) == ("u-1", True)
        assert document["metadata"]["namespace"] == "team"


def test_the_users_fields_are_added_to_the_pod() -> None:
    pod = pod_of(workers(worker={"env": [{"name": "A", "value": "1"}], "serviceAccountName": "reader"}).job)
    assert {"name": "A", "value": "1"} in pod["containers"][0]["env"]
    assert pod["serviceAccountName"] == "reader"
