"""The Job that measures a device, and the GPUProfiles that come of it, as documents."""

import json
from datetime import UTC, datetime
from typing import Any

from dueby_api.gpu_profile import Device, GPUProfile, Latency, images_per_second
from dueby_api.schema import validate
from dueby_api.status import ProfileStatus, read_status
from dueby_api.step_config import ProfileConfig
from dueby_operator.profiling.class_profiles import profiles_of
from dueby_operator.profiling.upkeep import profile_columns
from support.decisions import node as slices_node
from support.operator import profile
from support.profiling import A100, begun, gpu_node, measured
from support.stored import raw

GPU = "nvidia.com/gpu"


def pod_of(**spec: Any) -> dict[str, Any]:
    (create,) = begun(A100, **spec)
    found: dict[str, Any] = create.job["spec"]["template"]["spec"]
    return found


def node_profile(name: str, node: str, *, latency_us: int) -> GPUProfile:
    spec = measured().spec
    step = spec.steps[0].replace(latency_micros=Latency(mean=latency_us))
    found = measured(device=Device(node=node, uuid=f"GPU-{node}"), steps=(step,))
    return found.replace(metadata=found.metadata.replace(name=name))


def test_what_the_pod_is_told_is_what_it_takes() -> None:
    (create,) = begun(A100, model={"name": "resnet18", "weights": "/weights/mine.pt", "labels": "/weights/labels.txt"})
    told = validate(ProfileConfig, json.loads(create.config_map["data"]["config.json"]))
    assert (told.device_class, told.gpu, told.model.name) == (A100, True, "resnet18")
    assert (told.model.weights, told.model.labels) == ("none", None)


def test_an_engine_on_cpus_measures_the_cores_beside_the_gpu() -> None:
    spec = {"model": {"name": "resnet18", "engine": "openvino"}, "gpus": {"classes": [A100]}}
    (create,) = begun(A100, **spec)
    assert json.loads(create.config_map["data"]["config.json"])["gpu"] is False
    assert pod_of(**spec)["containers"][0]["resources"]["limits"] == {GPU: "1", "cpu": "2", "memory": "8192Mi"}


def test_the_pod_has_one_device_and_a_time_limit() -> None:
    (create,) = begun(A100)
    spec = create.job["spec"]
    assert (spec["completions"], spec["parallelism"], spec["activeDeadlineSeconds"]) == (1, 1, 900)
    pod = pod_of()
    assert pod["containers"][0]["resources"]["limits"] == {GPU: "1", "memory": "8192Mi"}
    assert pod["nodeSelector"] == {f"{GPU}.product": A100}
    assert pod["containers"][0]["command"] == ["python", "-m", "dueby_profiler"]


def test_the_pod_has_the_workers_environment_and_neither_credentials_nor_data() -> None:
    pod = pod_of(
        worker={
            "image": "mine:1",
            "env": [
                {"name": "A", "value": "1"},
                {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}},
            ],
            "envFrom": [{"secretRef": {"name": "keys"}}],
            "volumes": [{"name": "data", "hostPath": {"path": "/data"}}],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "serviceAccountName": "reader",
            "imagePullSecrets": [{"name": "registry"}],
        }
    )
    (container,) = pod["containers"]
    assert (container["image"], pod["automountServiceAccountToken"]) == ("mine:1", False)
    assert container["env"] == [{"name": "HOME", "value": "/tmp"}, {"name": "A", "value": "1"}]
    assert container["envFrom"] == []
    assert [volume["name"] for volume in pod["volumes"]] == ["dueby-config", "dueby-scratch"]
    assert "serviceAccountName" not in pod
    assert pod["imagePullSecrets"] == [{"name": "registry"}], "the image can't be pulled without"


def test_an_onnx_file_is_measured_where_it_lies_and_without_credentials() -> None:
    spec: dict[str, Any] = {
        "model": {"name": "onnx/mine", "weights": "/models/mine.onnx"},
        "worker": {
            "envFrom": [{"secretRef": {"name": "keys"}}],
            "volumes": [{"name": "models", "hostPath": {"path": "/models"}}],
            "volumeMounts": [{"name": "models", "mountPath": "/models"}],
        },
    }
    (create,) = begun(A100, **spec)
    assert json.loads(create.config_map["data"]["config.json"])["model"]["weights"] == "/models/mine.onnx"
    pod = pod_of(**spec)
    assert "models" in [volume["name"] for volume in pod["volumes"]]
    assert "/models" in [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]
    assert pod["containers"][0]["envFrom"] == []


def test_everything_goes_with_the_job() -> None:
    (create,) = begun(A100)
    for made in (create.config_map, create.job):
        assert made["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert create.config_map["immutable"] is True


def test_a_classs_profile_is_made_of_all_its_nodes() -> None:
    before = node_profile("by-hand", "node-a", latency_us=100_000)
    new = node_profile("", "", latency_us=120_000).spec.replace(device=Device(uuid="GPU-b"))
    own, of_class = profiles_of(new, node=gpu_node("node-b"), profiles=[before])
    assert own.spec.steps[0].latency_micros.mean == 120_000
    spec = of_class.spec
    assert spec.steps[0].latency_micros.mean == 110_000
    assert (spec.device.node, spec.device.uuid) == (None, None)
    assert spec.spread.node


def test_a_node_that_is_measured_again_counts_once() -> None:
    spec = measured().spec
    own, _ = profiles_of(spec, node=gpu_node("node-a"), profiles=[])
    before = own
    _, of_class = profiles_of(spec, node=gpu_node("node-a"), profiles=[before])
    assert of_class.spec.steps == spec.steps


def test_nodes_without_a_common_size_leave_what_was_measured_last() -> None:
    other = measured(device=Device(node="node-a"))
    step = other.spec.steps[0].replace(mini_batch_size=7)
    earlier, later = (datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2))
    other = other.replace(spec=other.spec.replace(measured_at=earlier))
    _, of_class = profiles_of(
        measured(steps=(step,), measured_at=later).spec,
        node=gpu_node("node-b"),
        profiles=[other],
    )
    assert [s.mini_batch_size for s in of_class.spec.steps] == [7]


def test_a_class_with_a_profile_of_another_name_keeps_it() -> None:
    (own,) = profiles_of(measured().spec, node=gpu_node("node-a"), profiles=[profile(A100)])
    assert own.spec.device.node == "node-a"


def test_the_column_shows_the_best_size_that_fits_and_is_written_only_when_it_changes() -> None:
    spec = measured().spec
    small, large = spec.steps[0], spec.steps[0].replace(mini_batch_size=32, latency_micros=Latency(mean=150_000))
    assert round(images_per_second(spec.replace(steps=(small, large)))) == 213
    assert images_per_second(spec.replace(steps=(small, large), max_mini_batch_size=16)) == 160
    (write,) = profile_columns([profile(A100)], [])
    assert write.path == f"/apis/dueby.dev/v1alpha1/gpuprofiles/{A100}/status"
    seen = profile(A100).replace(status=read_status(ProfileStatus, raw(write.fields["status"])))
    assert not profile_columns([seen], [])


def test_a_class_s_profile_says_how_many_devices_the_nodes_have_and_a_node_s_does_not() -> None:
    nodes = [gpu_node("n1", gpus=4), gpu_node("n2", gpus=2), slices_node("n3", cpus=8)]
    of_class, of_node = profile(A100), measured(device=Device(node="n1"))
    first, second = profile_columns([of_class, of_node], nodes)
    assert first.fields["status"]["devices"] == 6
    assert "devices" not in second.fields["status"]
    seen = of_class.replace(status=read_status(ProfileStatus, raw(first.fields["status"])))
    assert not profile_columns([seen], nodes)
    gone, slices = profile_columns([seen, profile("cpu-1")], [nodes[0], nodes[2]])
    assert gone.fields["status"]["devices"] == 4
    assert slices.fields["status"]["devices"] == 8
