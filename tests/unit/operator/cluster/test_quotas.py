"""What ResourceQuotas leave for more pods."""

import math

import pytest

from dueby_operator.cluster.quotas import max_pods, room_by_namespace, take
from dueby_operator.objects.nodes import ResourceQuota
from dueby_operator.objects.parse import parse


def quota(namespace: str = "team", used: dict[str, str] | None = None, **hard: str) -> ResourceQuota:
    names = {name.replace("_", "."): value for name, value in hard.items()}
    document = {"metadata": {"namespace": namespace}, "status": {"hard": names, "used": used or {}}}
    return parse(ResourceQuota, document)


def test_of_two_quotas_the_tighter_one_counts() -> None:
    found = room_by_namespace([quota(pods="10", used={"pods": "4"}), quota(pods="5"), quota("other", pods="1")])
    assert found == {"team": {"pods": 5.0}, "other": {"pods": 1.0}}


def test_a_quota_that_cant_be_read_leaves_nothing_and_the_others_stand() -> None:
    found = room_by_namespace([quota(pods="lots", memory="1Gi"), quota("other", cpu="4", used={"cpu": "some"})])
    assert found == {"team": {"pods": 0.0, "memory": 2.0**30}, "other": {"cpu": 0.0}}


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
    assert max_pods(room, asked) == most


def test_what_is_taken_is_gone() -> None:
    room = {"pods": 10.0, "requests.cpu": 8.0}
    left = take(room, {"pods": 1.0, "cpu": 2.0, "memory": 1.0}, 3)
    assert left == {"pods": 7.0, "requests.cpu": 2.0}
    assert room == {"pods": 10.0, "requests.cpu": 8.0}, "the room that was given stays as it is"
