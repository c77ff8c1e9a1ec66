"""The fields of a job's worker pods: what Kubernetes takes is taken, and what has another shape names its field."""

from typing import Any

import pytest

from dueby_api.errors import Invalid
from support.planner import job

DEEP: dict[str, Any] = {}
for _ in range(3000):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    ("worker", "sentence"),
    [
        ({"resources": {"requests": "4"}}, "spec.worker.resources.requests: must be a mapping of fields, but is '4'"),
        ({"resources": []}, "spec.worker.resources: must be a mapping of fields, but is []"),
        ({"resources": {"limits": {"cpu": None}}}, "spec.worker.resources.limits[...]: must be "),
        ({"resources": {"limits": {"cpu": [4]}}}, "spec.worker.resources.limits[...]: must be "),
        ({"resources": {"requests": {"cpu": "many"}}}, "spec.worker.resources.requests[cpu]: 'many' is not a quantity"),
        (
            {"resources": {"requests": {"cpu": "-4"}}},
            "spec.worker.resources.requests[cpu]: must not be negative, but is -4",
        ),
        ({"resources": {"requests": {"cpu": float("nan")}}}, "spec.worker.resources.requests[cpu]: 'nan' is not a"),
        (
            {"resources": {"limits": {"nvidia.com/gpu": 2}}},
            "spec.worker.resources.limits: leave out nvidia.com/gpu; ",
        ),
        ({"image": "My Image"}, "spec.worker.image: is not the name of an image, such as registry.example.org/team/"),
        ({"image": "a:b:c"}, "spec.worker.image: is not the name of an image"),
        ({"image": "team/UPPER"}, "spec.worker.image: is not the name of an image"),
        ({"tolerations": "all"}, "spec.worker.tolerations: must be a list, but is 'all'"),
        ({"tolerations": [{"key": 5}]}, "spec.worker.tolerations[0].key: must be a text, but is 5"),
        ({"tolerations": [{"tolerationSeconds": 10**30}]}, "spec.worker.tolerations[0].tolerationSeconds: must be an"),
        ({"env": [{"value": "1"}]}, "spec.worker.env[0].name: is missing"),
        ({"env": [{"name": "A", "value": 1}]}, "spec.worker.env[0].value: must be a text, but is 1"),
        ({"env": [{"name": "A", "valueFrom": "b"}]}, "spec.worker.env[0].valueFrom: must be a mapping of fields"),
        ({"env": [{"name": "A=B"}]}, "spec.worker.env[0].name: 'A=B' can't be a variable's name; leave out = and NUL"),
        ({"env": [{"name": "A\0"}]}, "spec.worker.env[0].name: 'A\\x00' can't be a variable's name"),
        ({"env": [{"name": "A", "value": "\0"}]}, "spec.worker.env[0].value: has a NUL character"),
        (
            {"env": [{"name": "A", "value": "x" * 2**17}]},
            "spec.worker.env[0].value: must be a text of length at most 32768",
        ),
        ({"env": [{1: "a", "name": "b"}]}, "spec.worker.env[0]: has a field whose name is no text"),
        ({"env": [DEEP]}, "spec.worker.env[0].a: there is no such field"),
        ({"envFrom": [{"secretRef": "s"}]}, "spec.worker.envFrom[0].secretRef: must be a mapping of fields"),
        ({"volumes": [{"name": 7}]}, "spec.worker.volumes[0].name: must be a text, but is 7"),
        ({"volumes": [{"name": "v", "csi": DEEP}]}, "spec.worker.volumes[0].csi.a: there is no such field"),
        ({"volumeMounts": [{"name": "a"}]}, "spec.worker.volumeMounts[0].mountPath: is missing"),
        ({"imagePullSecrets": ["s"]}, "spec.worker.imagePullSecrets[0]: must be a mapping of fields, but is 's'"),
        ({"labels": {"a": 1}}, "spec.worker.labels[...]: must be a text, but is {'a': 1}"),
        ({"labels": {"dueby.dev/job": "other"}}, "spec.worker.labels: dueby.dev/job is the operator's own"),
        ({"annotations": {"dueby.dev/config": "x"}}, "spec.worker.annotations: dueby.dev/config is the operator's own"),
        ({"nodeSelector": {"a": True}}, "spec.worker.nodeSelector[...]: must be a text, but is {'a': True}"),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else "",
)
def test_a_field_of_another_shape_is_named(worker: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Invalid) as caught:
        job(worker=worker)
    assert str(caught.value).startswith(sentence)


def test_what_kubernetes_takes_is_taken_as_it_is_written() -> None:
    worker = {
        "resources": {"requests": {"cpu": 0.5, "memory": "1Gi"}, "limits": {"cpu": 4}},
        "tolerations": [{"operator": "Exists"}, {"key": "a", "value": "b", "effect": "NoExecute"}],
        "env": [{"name": "A"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "c", "optional": True}}],
        "volumes": [{"name": "v", "csi": {"driver": "d", "volumeAttributes": {"a": "b"}}}],
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "s"}],
        "imagePullSecrets": [{"name": "p"}],
        "labels": {"team": "a"},
    }
    assert {name: part for name, part in job(worker=worker).spec.worker.document().items() if part} == worker


@pytest.mark.parametrize("queue", ["team/a", "../nodes", "a?b", "a#b", "Night", "-a", "a.b", "a%2fb"])
def test_a_queue_has_a_name_as_kueue_gives_it(queue: str) -> None:
    with pytest.raises(Invalid, match=r"^spec\.queueName: must be a text that matches"):
        job(queueName=queue)
    assert job(queueName="night-1").spec.queue_name == "night-1"


@pytest.mark.parametrize("year", ["0001", "0999", "1969", "3000", "9999"])
def test_a_deadline_is_in_a_year_that_somebody_means(year: str) -> None:
    with pytest.raises(Invalid, match=r"^spec\.deadlineTime: must be in the years 1970 to 2999, but is "):
        job(deadline=None, deadlineTime=f"{year}-12-31T23:59:59-14:00")


@pytest.mark.parametrize(
    "image",
    [
        "worker",
        "dueby/worker:1.2.3-rc_1",
        "registry.example.org:5000/team/sub-team/a__b.c/worker:latest",
        "localhost/worker@sha256:" + "0a" * 32,
        "Registry.Example.org/worker:1@sha256:" + "0a" * 32,
        "[::1]:5000/worker",
    ],
)
def test_the_names_of_images_that_container_runtimes_take_are_taken(image: str) -> None:
    assert job(worker={"image": image}).spec.worker.image == image
