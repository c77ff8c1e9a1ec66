"""Classes' profiles are made of their nodes' profiles, without those of nodes that are too slow."""

import pytest

from dueby_api.gpu_profile import GPUProfile, parse_profile
from dueby_operator.profiling.class_profiles import KeptProfiles, keep_profiles, profiles_of, without_foreign
from support.operator import profile
from support.profiling import A100, L4, gpu_node, nodes, on

NAME = "nvidia-l4-efficientnet-lite0-224-fp32-openvino"
OWN = "nvidia-l4-b-efficientnet-lite0-224-fp32-openvino"


def after(*profiles: GPUProfile) -> KeptProfiles:
    """The profiles as the API server has them once all of them are written."""
    kept = keep_profiles(profiles)
    stored = {found.name: found for found in kept.profiles}
    for found in kept.new:
        assert stored[found.name] == parse_profile(found.document())
    return kept


def classes(kept: KeptProfiles) -> dict[str, int]:
    """L of 16 images in ms of each class's profile."""
    return {
        found.spec.device_class: found.spec.steps[-1].latency_micros.mean // 1000
        for found in kept.profiles
        if not found.spec.device.node
    }


def is_settled(kept: KeptProfiles) -> bool:
    """Whether there is nothing to write and nothing to delete."""
    return not kept.new and not kept.gone


def test_a_slow_node_is_left_out_of_its_class_and_is_one_of_its_own() -> None:
    kept = after(on("a", 100), on("b", 140), on("c", 104))
    assert classes(kept) == {L4: 102, f"{L4}@b": 140}
    assert {found.name for found in kept.profiles if not found.spec.device.node} == {NAME, OWN}
    assert kept.slow == {"b"}


def test_the_class_has_the_least_memory_and_the_spread_between_its_nodes() -> None:
    kept = after(on("a", 100, maxMiniBatchSize=64), on("b", 110, maxMiniBatchSize=32))
    (found,) = (profile for profile in kept.profiles if not profile.spec.device.node)
    assert found.spec.max_mini_batch_size == 32
    assert found.spec.spread.node == pytest.approx(0.0673, abs=1e-4)


@pytest.mark.parametrize(
    ("ms", "of_class"),
    [
        pytest.param([100, 100, 102, 1], 100, id="one that is much faster than the others"),
        pytest.param([100, 100, 102, 90, 1, 1], 98, id="two of six"),
        pytest.param([100, 100, 102, 84], 96, id="one within a fifth counts"),
        pytest.param([{8: 50, 16: 100}] * 3 + [{8: 50, 16: 80}], 95, id="by the mean over the sizes"),
    ],
)
def test_a_node_that_is_too_fast_stays_in_its_class_but_says_nothing_about_it(
    ms: list[int | dict[int, int]], of_class: int
) -> None:
    kept = after(*(on(node, found) for node, found in zip("abcdef", ms, strict=False)))
    assert not kept.slow
    assert classes(kept) == {L4: of_class}
    assert is_settled(keep_profiles(kept.profiles))


@pytest.mark.parametrize(
    ("device_class", "counts"),
    [
        pytest.param(L4, True, id="the node's own class"),
        pytest.param(A100, False, id="GPUs that it doesn't have"),
        pytest.param(f"{A100}@other", False, id="a slow node's"),
        pytest.param("cpu-2", False, id="cores of a node with GPUs"),
    ],
)
def test_a_node_says_nothing_about_classes_that_it_does_not_have(device_class: str, counts: bool) -> None:
    there = nodes(gpu_node("b", L4))
    forged = on("b", 1, device_class)
    assert bool(keep_profiles([forged], there).new) is counts
    assert (forged in keep_profiles([forged], there).profiles) is counts
    assert (without_foreign([forged], there) == (forged,)) is counts
    assert without_foreign([forged], {}) == (forged,), "a machine that is no node of the cluster"


def test_a_second_pass_writes_nothing() -> None:
    first = after(on("a", 100), on("b", 140), on("c", 104), on("a", 7, A100))
    assert (len(first.new), first.gone) == (3, ())
    assert is_settled(keep_profiles(first.profiles))


@pytest.mark.parametrize(
    ("ms", "is_slow"),
    [
        pytest.param(119, True, id="at the border it stays"),
        pytest.param(115, False, id="within 15 % it has recovered"),
    ],
)
def test_a_slow_node_that_is_measured_again_recovers_within_fifteen_percent(ms: int, is_slow: bool) -> None:
    before = after(on("a", 100), on("b", 140))
    again = keep_profiles([on("b", ms) if found.spec.device.node == "b" else found for found in before.profiles])
    assert bool(again.slow) is is_slow
    assert again.gone == (() if is_slow else (OWN,))
    assert is_settled(keep_profiles(again.profiles))


def test_a_slow_node_stays_apart_while_there_is_nothing_to_compare_it_with() -> None:
    before = after(on("a", 100), on("b", 140))
    alone = keep_profiles([found for found in before.profiles if found.spec.device.node != "a"])
    assert set(alone.slow) == {"b"}
    assert is_settled(alone)
    gone = keep_profiles([found for found in alone.profiles if not found.spec.device.node])
    assert classes(gone) == {L4: 100}, "the class's stays when the last node goes, the node's own goes with it"


def test_for_every_model_it_is_the_node_that_is_slow() -> None:
    cuda = {"engine": "cuda"}
    kept = after(on("a", 100), on("b", 140), on("b", 50, **cuda), on("a", 50, **cuda), on("c", 50, **cuda))
    own = [found for found in kept.profiles if found.spec.device_class == f"{L4}@b"]
    assert sorted(found.spec.engine for found in own) == ["cuda", "openvino"]


@pytest.mark.parametrize("name", [NAME, "mine"])
def test_a_classs_profile_that_somebody_else_wrote_is_left_alone(name: str) -> None:
    document = profile(L4).document()
    document["metadata"] = {"name": name, "labels": {"app.kubernetes.io/managed-by": "Helm"}}
    mine = parse_profile(document)
    kept = keep_profiles([on("a", 120), on("c", 124), mine])
    assert is_settled(kept)
    assert mine in kept.profiles


def test_a_nodes_profile_that_comes_changes_or_goes_changes_the_classs() -> None:
    one = after(on("a", 100))
    two = after(*one.profiles, on("c", 110))
    changed = after(*(on("c", 104) if found.spec.device.node == "c" else found for found in two.profiles))
    again = after(*(found for found in changed.profiles if found.spec.device.node != "c"))
    assert [classes(kept)[L4] for kept in (one, two, changed, again)] == [100, 105, 102, 100]
    assert [(len(kept.new), len(kept.gone)) for kept in (one, two, changed, again)] == [(1, 0)] * 4


def test_nodes_without_a_size_in_common_leave_the_classs_as_it_is() -> None:
    one = after(on("a", {8: 50}))
    assert is_settled(keep_profiles([*one.profiles, on("c", {16: 100})]))


def test_where_there_was_none_the_latest_of_such_nodes_is_the_classs() -> None:
    dated = on("c", {16: 100}, measuredAt="2026-11-25T02:00:00Z")
    assert classes(after(on("a", {8: 50}), dated, on("d", {4: 20}))) == {L4: 100}


def test_what_is_measured_on_a_slow_node_is_stored_as_of_its_class() -> None:
    kept = keep_profiles([on("a", 100), on("b", 140)])
    spec = on("b", 60, engine="cuda").spec.replace(device_class=f"{L4}@b")
    own, of_class = profiles_of(spec, node=gpu_node("b", L4), profiles=kept.profiles)
    assert own.spec.device_class == L4
    assert own.spec.device.node == "b"
    assert of_class.spec.device_class == f"{L4}@b"
    assert profiles_of(spec, node=None, profiles=kept.profiles) == []
