"""Requests are told apart while there are few; where there are many they count as larger ones, never as smaller."""

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_operator.cluster.merged_requests import MAX_REQUESTS, MIN_OF_CLASS, merge_requests
from dueby_operator.model.job_snapshot import JobKey

Wishes = Mapping[tuple[JobKey, str], Mapping[str, float]]
SOME = st.one_of(st.just(0.0), st.floats(1e-3, 1e3))


def wish(namespace: str, number: int, device_class: str = "cpu-1") -> tuple[JobKey, str]:
    return (namespace, f"job-{number}"), device_class


def asked(cpu: float, memory: float = 2.0**30) -> dict[str, float]:
    return {"cpu": cpu, "memory": memory, "pods": 1.0}


def counted(wishes: Wishes) -> set[tuple[object, ...]]:
    return {(device_class, *found.items()) for (_, device_class), found in wishes.items()}


def test_few_are_as_they_were() -> None:
    wishes = {wish("team", number): asked(1 + number / 100) for number in range(MAX_REQUESTS)}
    assert merge_requests(wishes) == wishes


def test_many_that_ask_for_the_same_are_few() -> None:
    wishes = {wish("team", number): asked(1 + number % 3) for number in range(1000)}
    assert merge_requests(wishes) == wishes


def test_a_namespace_with_many_leaves_those_of_others_as_they_were() -> None:
    others = {wish(f"team-{number}", 0): asked(0.9 + number) for number in range(MAX_REQUESTS // 2)}
    many = {wish("crowd", number): asked(1 + number / 50) for number in range(200)}
    found = merge_requests({**many, **others})
    assert {key: found[key] for key in others} == others
    assert len(counted(found)) <= MAX_REQUESTS


def test_a_namespace_with_few_keeps_even_those_that_hardly_differ() -> None:
    few = {wish("team", number): asked(1 + number / 50) for number in range(3)}
    many = {wish("crowd", number): asked(1 + number / 50) for number in range(200)}
    found = merge_requests({**many, **few})
    assert {key: found[key] for key in few} == few


def test_similar_ones_are_merged_into_the_largest_of_them() -> None:
    wishes = {wish("team", number): asked(1 + number / 50) for number in range(100)}
    found = merge_requests(wishes)
    assert 4 <= len(counted(found)) <= 8
    assert all(found[key]["cpu"] <= 1.5 * before["cpu"] for key, before in wishes.items())
    assert {after["cpu"] for after in found.values()} <= {before["cpu"] for before in wishes.values()}


@given(
    st.dictionaries(
        st.builds(wish, st.sampled_from("abcde"), st.integers(0, 99), st.sampled_from(["cpu-1", "cpu-2"])),
        st.builds(asked, SOME, SOME),
        min_size=MAX_REQUESTS,
    )
)
def test_nothing_counts_as_less_than_it_asks_for(wishes: Wishes) -> None:
    found = merge_requests(wishes)
    assert found.keys() == wishes.keys()
    assert all(found[key][name] >= amount for key, before in wishes.items() for name, amount in before.items())
    assert len(counted(found)) <= MAX_REQUESTS


def test_many_classes_of_the_same_nodes_keep_some_requests_each() -> None:
    wishes = {wish("team", job, f"cpu-{job % 40}"): asked(1 + job / 50) for job in range(400)}
    of_class = Counter(device_class for device_class, *_ in counted(merge_requests(wishes)))
    assert set(of_class.values()) == {MIN_OF_CLASS}


def growth(wishes: Wishes, found: Wishes, namespace: str) -> float:
    """By how much more than it asks for any worker of the namespace counts, of whichever resource."""
    own = [key for key in wishes if key[0][0].startswith(namespace)]
    return max(found[key][name] / amount for key in own for name, amount in wishes[key].items())


# The largest node of these tests has 128 cores and 512 GiB, and the crowd asks for anything that fits it.
CROWD = {
    wish("crowd", 100 * cpus + gib, device_class): asked(2.0**cpus, 2.0 ** (20 + gib))
    for cpus in range(-9, 8, 4)
    for gib in range(-18, 20, 6)
    for device_class in ("cpu-1", "cpu-2")
}
TEAMS = {
    "more teams than requests are told apart": (
        {wish(f"team-{k}", 0): asked(1 + k / 50) for k in range(MAX_REQUESTS + 1)},
        1.2,
    ),
    "a hundred teams of all sizes": (
        {wish(f"team-{k}", 0): asked(2.0 ** (k % 10 / 2), 2.0 ** (30 + k // 10 / 2)) for k in range(100)},
        3,
    ),
    "two requests of each team": (
        {wish(f"team-{k}", job): asked((1 + k / 50) * 16**job) for k in range(20) for job in range(2)},
        1.2,
    ),
    "seven teams on four classes": (
        {
            wish(f"team-{k}", 0, name): asked(2 + k, (4 + 4 * k) * 2.0**30)
            for k in range(7)
            for name in ("cpu-1", "cpu-2", "cpu-3", "cpu-4")
        },
        2,
    ),
}


@pytest.mark.parametrize("name", TEAMS)
def test_a_namespace_that_asks_for_anything_hardly_changes_what_is_counted_for_others(name: str) -> None:
    teams, most = TEAMS[name]
    wishes = {**teams, **CROWD}
    found = merge_requests(wishes)
    assert growth(wishes, found, "team") <= most
    assert growth(wishes, merge_requests(teams), "team") <= most
    assert len(counted(found)) <= MAX_REQUESTS


def test_two_teams_on_thirteen_classes_are_told_apart() -> None:
    wishes = {wish(f"team-{k}", 0, f"cpu-{cores}"): asked(1 + 15 * k) for k in range(2) for cores in range(13)}
    assert merge_requests(wishes) == wishes


def test_classes_that_are_on_no_node_together_are_each_told_apart() -> None:
    classes = [f"cpu-{number}@node-{number}" for number in range(MAX_REQUESTS)]
    wishes = {wish(f"team-{k}", 0, name): asked(1 + k) for k in range(MAX_REQUESTS) for name in classes}
    assert merge_requests(wishes, [{name} for name in classes]) == wishes
    assert len(counted(merge_requests(wishes, [classes]))) == MIN_OF_CLASS * len(classes)
