"""Which devices a job gives back, and which it keeps although it could do without."""

import pytest

from dueby_api.store_limits import StoreLimits
from dueby_planner.schedule.devices import DeviceGroup, DeviceGroups, Limit
from dueby_planner.schedule.stops import Waiting, find_unwanted
from support.calendar import held_device
from support.shared_cluster import SharedCluster

OWN, OTHER = ("team", "own"), ("team", "other")


@pytest.mark.parametrize(
    ("idle", "in_time", "short", "is_kept"),
    [
        pytest.param(0, (), (), False, id="any job may gain by its device"),
        pytest.param(1, (), (), True, id="a device is idle"),
        pytest.param(0, (OTHER,), (), True, id="who waits is in time"),
        pytest.param(0, (OWN,), (), False, id="nobody but itself waits"),
        pytest.param(1, (), (OTHER,), False, id="another one lacks what it takes of a limit"),
        pytest.param(0, (OTHER,), (OTHER,), False, id="which is so, too, if who waits for the device is in time"),
        pytest.param(1, (), (OWN,), True, id="nobody but itself lacks it"),
    ],
)
def test_a_worker_is_kept_by_which_nobody_would_gain(
    idle: int, in_time: tuple[tuple[str, str], ...], short: tuple[tuple[str, str], ...], is_kept: bool
) -> None:
    group = DeviceGroup(name="a", device_class="a", devices=4, idle=idle, users=frozenset({OWN, OTHER}))
    store = Limit(name="store", units=4, used=3, others=0, costs={OWN: {"a": 1}, OTHER: {"a": 2}})
    hold = held_device(key=OWN, deadline_class="Hard")
    waiting = Waiting(in_time={"a": frozenset(in_time)}, short={"store": frozenset(short)})
    groups = DeviceGroups(all=(group,), limits=(store,))
    assert find_unwanted([hold], {"a": idle}, waiting, groups) == (frozenset({"w0"}) if is_kept else frozenset())


@pytest.mark.parametrize(("requests", "is_helped"), [(320, True), (800, False)])
def test_a_job_that_is_ahead_gives_back_what_another_one_lacks_of_their_store(requests: int, is_helped: bool) -> None:
    """A worker of the slow model takes 80 requests a second. One of the other takes 160, and is late without them."""
    cluster = SharedCluster({"a": 6}, stores=(StoreLimits(prefix="s3://photos/", requests_per_second=requests),))
    (usual,) = cluster.profiles
    steps = tuple(
        step.replace(latency_micros=step.latency_micros.replace(mean=2 * step.latency_micros.mean))
        for step in usual.spec.steps
    )
    spec = usual.spec.replace(model=usual.spec.model.replace(name="resnet18"), steps=steps)
    cluster.profiles += (usual.replace(metadata=usual.metadata.replace(name="slow"), spec=spec),)
    photos = {"uri": "s3://photos/in/*.jpg"}
    cluster.add("slow", images=27_000, deadline_s=200, source=photos, model={"name": "resnet18"})
    for seconds, speed in ((10, 0.7), (22, 1.0)):  # it lags for a while, and is helped
        cluster.run(seconds)
        for worker in cluster.jobs["slow"].alive:
            worker.speed = speed
    assert cluster.changes("slow") == [("Lagging", 2, 3)]
    cluster.add("waiting", images=4_000, deadline_s=40, deadline_class="Soft", source=photos)
    cluster.run(25)
    assert cluster.changes("slow")[1:] == ([("Ahead", 3, 2)] if is_helped else [])
    assert cluster.jobs["waiting"].alive


@pytest.mark.parametrize("cores", [4, 6])
def test_a_job_that_is_ahead_gives_a_device_back_only_while_none_is_idle(cores: int) -> None:
    cluster = SharedCluster({"a": cores})
    cluster.add("fast", images=100_000, deadline_s=200)
    cluster.run(10)
    for worker in cluster.jobs["fast"].alive:
        worker.speed = 2.0
    cluster.run(10)
    assert cluster.changes("fast") == ([("Ahead", 4, 3)] if cores == 4 else [])


@pytest.mark.parametrize(("deadline_s", "is_helped"), [(400, False), (30, True)])
def test_a_job_that_is_ahead_gives_a_device_back_for_one_that_is_late_without_it(
    deadline_s: int, is_helped: bool
) -> None:
    cluster = SharedCluster({"a": 4})
    cluster.add("fast", images=100_000, deadline_s=200)
    cluster.run(10)
    cluster.add("waiting", images=10_000, deadline_s=deadline_s, deadline_class="Soft")
    cluster.decide()
    assert cluster.status("waiting").phase == "Scheduled"
    for worker in cluster.jobs["fast"].alive:
        worker.speed = 2.0
    cluster.run(10)
    assert cluster.changes("fast") == ([("Ahead", 4, 3)] if is_helped else [])
    cluster.run(400, until=lambda: all(job.is_done for job in cluster.jobs.values()))
    assert cluster.ended_s("fast") <= 200
    assert cluster.ended_s("waiting") <= 400


def test_a_job_that_is_edited_to_need_fewer_devices_has_fewer() -> None:
    cluster = SharedCluster({"a": 6})
    cluster.add("edited", images=100_000, deadline_s=200)
    cluster.run(20)
    cluster.edit("edited", deadline="900s")
    cluster.run(5)
    assert cluster.changes("edited") == [("Edited", 4, 3)]
