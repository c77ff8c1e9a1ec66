"""What a pod asks for in sum."""

from typing import Any

import pytest

from dueby_operator.cluster.quantities import limits_of, requests_of
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod


def test_a_pod_asks_for_its_containers_or_its_largest_initial_one() -> None:
    def container(cpu: str, **more: Any) -> dict[str, Any]:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    spec = {
        "containers": [container("1"), container("500m")],
        "initContainers": [container("250m", restartPolicy="Always"), container("4"), container("1")],
        "overhead": {"cpu": "100m"},
    }
    assert requests_of(parse(Pod, {"metadata": {}, "spec": spec}).spec)["cpu"] == pytest.approx(4.35)


@pytest.mark.parametrize(
    ("resources", "asked", "limits"),
    [
        pytest.param({}, {"cpu": 1.1, "memory": 10}, {"limits.cpu": 2}, id="nothing"),
        pytest.param(
            {"requests": {"cpu": "3"}, "limits": {"cpu": "4", "memory": 50}},
            {"cpu": 3.1, "memory": 10},
            {"limits.cpu": 4, "limits.memory": 50},
            id="more than its container",
        ),
        pytest.param({"requests": {"memory": 5}}, {"cpu": 1.1, "memory": 5}, {"limits.cpu": 2}, id="less, of one"),
        pytest.param({"requests": {"pods": 9}}, {"cpu": 1.1, "memory": 10}, {"limits.cpu": 2}, id="what no pod says"),
    ],
)
def test_what_a_pod_says_as_a_whole_counts_instead_of_what_its_containers_say(
    resources: dict[str, Any], asked: dict[str, float], limits: dict[str, float]
) -> None:
    own = {"requests": {"cpu": "1", "memory": 10}, "limits": {"cpu": "2"}}
    spec = {"containers": [{"resources": own}], "resources": resources, "overhead": {"cpu": "100m"}}
    found = parse(Pod, {"metadata": {}, "spec": spec}).spec
    assert requests_of(found) == pytest.approx(asked)
    assert limits_of(found) == limits


def test_a_pod_whose_containers_say_nothing_asks_for_what_it_may_use_as_a_whole() -> None:
    spec = {"containers": [{}], "resources": {"limits": {"cpu": "2"}}}
    assert requests_of(parse(Pod, {"metadata": {}, "spec": spec}).spec) == {"cpu": 2.0}
