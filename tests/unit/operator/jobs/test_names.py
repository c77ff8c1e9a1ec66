"""Names of a job's objects: valid, short enough for what Kubernetes appends, and different for what is different."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_operator.jobs import names

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
# pkg/apis/batch/validation of Kubernetes: a host name is made of an Indexed Job's name and its largest index, and a
# CronJob's Jobs have eleven letters more than it.
MAX_HOST_NAME, FROM_CRON_JOB = 63, 11

letters = "abcdefghijklmnopqrstuvwxyz0123456789"
jobs = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
nodes = st.lists(st.text(letters, min_size=1, max_size=63), min_size=1, max_size=6).map(lambda parts: ".".join(parts))
nodes = nodes.map(lambda name: name[:253].rstrip("."))
plain_classes = st.text(min_size=1, max_size=128) | st.sampled_from(["cpu-1", "NVIDIA-A100-SXM4-40GB", "r2-x", "index"])
classes = plain_classes | st.tuples(plain_classes, nodes).map("@".join)
counts = st.integers(1, 100_000)
models = st.text(min_size=1, max_size=63)
numbers = st.integers(1, 10**9)

WORKERS = st.fixed_dictionaries(
    {"job": jobs, "uid": st.uuids().map(str), "revision": numbers, "device_class": classes, "chunk": st.integers(0, 99)}
)
MEASURING = st.fixed_dictionaries({"job": jobs, "uid": st.uuids().map(str), "device_class": classes, "model": models})
FOR_EVERYBODY = st.fixed_dictionaries({"device_class": classes, "model": models, "image": models})
ON_NODE = st.fixed_dictionaries({"node": nodes, "device_class": classes})


def again(node: str, device_class: str) -> str:
    return names.again_name(names.node_profiling_name(node, device_class), "2026-11-25T02:00:00Z")


def profile_of(node: str, device_class: str) -> str:
    return names.profile_object_name(device_class, "efficientnet_b0", "224", "fp16", "cudagraph", node)


def for_everybody(device_class: str, model: str, image: str) -> str:
    return names.on_demand_name(device_class, model, image, "null")


KINDS: dict[str, tuple[Callable[..., str], Any]] = {
    "workers": (names.workers_name, WORKERS),
    "measuring for a job": (names.profiling_name, MEASURING),
    "measuring for everybody": (for_everybody, FOR_EVERYBODY),
    "measuring a node": (names.node_profiling_name, ON_NODE),
    "measuring a node again": (again, ON_NODE),
}


@pytest.mark.parametrize(
    "kind", ["workers", "measuring for a job", "measuring for everybody", "measuring a node again"]
)
@given(data=st.data(), count=counts)
def test_an_indexed_jobs_name_leaves_room_for_its_largest_index(kind: str, data: st.DataObject, count: int) -> None:
    name, things = KINDS[kind]
    host_name = f"{name(**data.draw(things))}-{count - 1}"
    assert DNS_LABEL.fullmatch(host_name)
    assert len(host_name) <= MAX_HOST_NAME


@given(ON_NODE, counts)
def test_a_cron_jobs_name_leaves_room_for_its_jobs_and_their_largest_index(node: Any, count: int) -> None:
    name = names.node_profiling_name(**node)
    assert DNS_LABEL.fullmatch(name)
    assert len(name) + FROM_CRON_JOB + len(f"-{count - 1}") <= MAX_HOST_NAME


@given(ON_NODE)
def test_a_profiles_name_is_that_of_an_object(node: Any) -> None:
    name = profile_of(**node)
    assert DNS_LABEL.fullmatch(name)
    assert len(name) <= 253


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_what_differs_in_anything_has_another_name(kind: str, data: st.DataObject) -> None:
    name, things = KINDS[kind]
    one: Mapping[str, Any] = data.draw(things)
    other = data.draw(things)
    field = data.draw(st.sampled_from(sorted(one)))
    assert (name(**one) == name(**other)) == (one == other)
    changed = {**one, field: other[field]}
    assert (name(**one) == name(**changed)) == (one == changed)


def test_jobs_whose_words_are_alike_have_different_names() -> None:
    mine = names.workers_name("a", "u", revision=1, device_class="r2-x")
    theirs = names.workers_name("a-r1", "v", revision=2, device_class="x")
    assert mine != theirs
    assert mine.startswith("a-r1-r2-x-")
    assert theirs.startswith("a-r1-r2-x-")


def test_profiles_whose_names_are_too_long_are_told_apart() -> None:
    long = {names.profile_object_name("A" * 128, "m" * 63, node * 200) for node in "ab"}
    assert len(long) == 2


def test_a_name_begins_with_words_for_people() -> None:
    name = names.workers_name("catalog", "u", revision=2, device_class="NVIDIA-A100-SXM4-40GB")
    assert name.startswith("catalog-r2-nvidia-a100-sxm4-40gb-")
    assert names.node_profiling_name("node-a.example.org", "L4").startswith("profile-node-a-example-org-")
