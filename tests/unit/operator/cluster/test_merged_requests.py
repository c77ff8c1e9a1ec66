"""Requests are told apart while there are few; where there are many they count as larger ones, never as smaller."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from dueby_operator.cluster.merged_requests import MAX_REQUESTS, merge_requests
from dueby_operator.model.job_snapshot import JobKey

Wishes = Mapping[tuple[JobKey, str], Mapping[str, float]]
SOME = st.one_of(st.just(0.0), st.floats(1e-3, 1e3))


def wish(namespace: str, number: int, device_class: str = "cpu-1") -> tuple[JobKey, str]:
    return (namespace, f"job-{number}"), device_class


def asked(cpu: float, memory: float = 2.0**30) -> dict[str, float]:
    return {"cpu": cpu, "memory": memory, "pods": 1.0}


def counted(wishes: Wishes) -> set[object]:
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


def test_many_classes_keep_one_request_each() -> None:
    wishes = {wish("team", job, f"cpu-{job % 40}"): asked(1 + job / 50) for job in range(80)}
    assert len(counted(merge_requests(wishes))) == 40
