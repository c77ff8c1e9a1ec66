"""What ResourceQuotas leave for more pods."""

import math

import pytest

from dueby_operator.cluster.quotas import Bound, max_pods, room_by_namespace, take
from dueby_operator.objects.nodes import ResourceQuota
from dueby_operator.objects.parse import parse
from dueby_operator.objects.pods import Pod


def quota(namespace: str = "team", used: dict[str, str] | None = None, **hard: str) -> ResourceQuota:
    names = {name.replace("_", "."): value for name, value in hard.items()}
    document = {"metadata": {"namespace": namespace}, "status": {"hard": names, "used": used or {}}}
    return parse(ResourceQuota, document)


def pod(namespace: str = "team", phase: str = "Running", **requests: str) -> Pod:
    container = {"name": "c", "resources": {"requests": requests, "limits": {"memory": "2Gi"}}}
    return parse(
        Pod,
        {"metadata": {"namespace": namespace}, "spec": {"containers": [container]}, "status": {"phase": phase}},
    )


def bounds(**left: float) -> dict[str, Bound]:
    return {name: Bound(hard=99.0, left=value) for name, value in left.items()}


def test_of_two_quotas_the_tighter_one_counts() -> None:
    found = room_by_namespace([quota(pods="10", used={"pods": "7"}), quota(pods="5"), quota("other", pods="1")], [])
    assert found == {"team": {"pods": Bound(10.0, 3.0, 7.0)}, "other": {"pods": Bound(1.0, 1.0)}}


def test_a_quota_that_cant_be_read_leaves_nothing_and_the_others_stand() -> None:
    found = room_by_namespace([quota(pods="lots", memory="1Gi"), quota("other", cpu="4", used={"cpu": "some"})], [])
    assert found == {
        "team": {"pods": Bound(0.0, 0.0), "memory": Bound(2.0**30, 2.0**30)},
        "other": {"cpu": Bound(0.0, 0.0)},
    }


def test_what_pods_of_jobs_ask_for_is_not_for_good_others() -> None:
    used = {"requests.cpu": "3500m", "limits.memory": "5Gi", "count/pods": "4"}
    asked = quota(used=used, **{"requests_cpu": "8", "limits_memory": "8Gi", "count/pods": "9"})
    pods = [pod(cpu="500m"), pod(cpu="1"), pod(phase="Succeeded", cpu="1"), pod("other", cpu="1")]
    assert room_by_namespace([asked], pods) == {
        "team": {
            "requests.cpu": Bound(8.0, 4.5, 2.0),
            "limits.memory": Bound(8 * 2.0**30, 3 * 2.0**30, 2.0**30),
            "count/pods": Bound(9.0, 5.0, 2.0),
        }
    }


@pytest.mark.parametrize(
    ("room", "asked", "most"),
    [
        pytest.param({}, {"cpu": 2.0}, math.inf, id="nothing bounds it"),
        pytest.param({"requests.cpu": 7.0}, {"cpu": 2.0, "pods": 1.0}, 3, id="cores"),
        pytest.param({"cpu": 4.0, "requests.memory": 2.0**31}, {"cpu": 1.0, "memory": 2.0**30}, 2, id="the tightest"),
        pytest.param({"requests.nvidia.com/gpu": 4.0}, {"nvidia.com/gpu": 1.0}, 4, id="GPUs"),
        pytest.param({"limits.memory": 2.0**31}, {"memory": 1.0, "limits.memory": 2.0**30}, 2, id="limits"),
        pytest.param({"count/pods": -1.0}, {"pods": 1.0}, 0, id="more used than there is"),
        pytest.param({"limits.cpu": 1.0}, {"cpu": 2.0}, math.inf, id="limits are another matter"),
    ],
)
def test_as_many_pods_as_fit(room: dict[str, float], asked: dict[str, float], most: float) -> None:
    assert max_pods(bounds(**room), asked) == most


def test_what_is_taken_is_gone() -> None:
    room = bounds(**{"pods": 10.0, "requests.cpu": 8.0})
    left = take(room, {"pods": 1.0, "cpu": 2.0, "memory": 1.0}, 3)
    assert left == bounds(**{"pods": 7.0, "requests.cpu": 2.0})
    assert room == bounds(**{"pods": 10.0, "requests.cpu": 8.0}), "the room that was given stays as it is"
