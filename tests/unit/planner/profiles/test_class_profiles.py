"""One profile for each class: which one counts, which ones are refused, and how those of nodes become one."""

from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, Quantiles, parse_profile
from dueby_api.inference_job import Model
from dueby_planner.model.rule import quantile
from dueby_planner.profiles.class_profiles import class_profiles, matching
from dueby_planner.profiles.pool import build_pool
from support.planner import A100, job, profile, step_document

SUBJECT = "efficientnet_b0 at 224 px, fp32, engine cudagraph"


def node(name: str, **spec: Any) -> GPUProfile:
    """Return what was measured on one node."""
    return profile(name=f"on-{name}", device={"node": name}, **spec)


def aggregated(*nodes: GPUProfile) -> GPUProfile:
    """Return the one profile of the class."""
    ((only,),) = class_profiles(nodes).values()
    return only


# ---- which profile counts


def test_a_class_s_own_profile_wins_over_its_nodes() -> None:
    own = profile(name="own")
    assert class_profiles([node("a"), own, node("b")]) == {A100: (own,)}


def test_the_engines_of_a_class_are_profiles_beside_each_other() -> None:
    graphs, eager = profile(name="graphs", engine="cudagraph"), profile(name="eager", engine="cuda")
    assert {p.name for p in class_profiles([graphs, eager])[A100]} == {"graphs", "eager"}


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        pytest.param(
            profile(name="one"),
            profile(name="two"),
            f"one and two both describe {SUBJECT}, on device class {A100}",
            id="class",
        ),
        pytest.param(
            node("a"),
            node("a"),
            rf"on-a and on-a both describe {SUBJECT}, on the same device of node a \({A100}\)",
            id="node",
        ),
    ],
)
def test_doubles_are_refused_since_nothing_says_which_is_right(
    first: GPUProfile, second: GPUProfile, sentence: str
) -> None:
    with pytest.raises(Invalid, match=rf"^profiles: {sentence}. Remove one of them.$"):
        class_profiles([first, second])


def test_two_gpus_of_one_node_are_no_doubles() -> None:
    two = [profile(name=u, device={"node": "a", "uuid": u}) for u in ("GPU-1", "GPU-2")]
    assert aggregated(*two).spec.device.node is None


def test_a_profile_matches_by_model_size_precision_and_engine() -> None:
    fitting = profile(name="fits")
    others = [
        profile(name="model", model={"name": "resnet50", "imageSize": 224, "precision": "fp32"}),
        profile(name="size", model={"name": "efficientnet_b0", "imageSize": 256, "precision": "fp32"}),
        profile(name="precision", model={"name": "efficientnet_b0", "imageSize": 224, "precision": "fp16"}),
    ]
    assert matching([*others, fitting], Model()) == [fitting]
    assert matching([fitting], Model(engine="cudagraph")) == [fitting]
    assert matching([fitting], Model(engine="cuda")) == []


# ---- a class from its nodes


def test_one_node_alone_is_its_class() -> None:
    alone = node("a")
    assert aggregated(alone) == alone


def test_the_latency_of_a_class_is_the_mean_over_its_nodes_rounded_up() -> None:
    nodes = (node(n, steps=[step_document(8, us, 5)]) for n, us in (("a", 100), ("b", 101), ("c", 104)))
    assert aggregated(*nodes).spec.steps[0].latency_micros.mean == 102, "101.67 rounded up"


def test_starts_are_the_mean_of_the_medians_and_the_worst_p95() -> None:
    found = aggregated(
        node("a", startupMicros={"p50": 10, "p95": 30}, steps=[step_document(8, 100, 70, p50=50)]),
        node("b", startupMicros={"p50": 21, "p95": 25}, steps=[step_document(8, 100, 60, p50=55)]),
    ).spec
    assert found.startup_micros is not None
    assert (found.startup_micros.p50, found.startup_micros.p95) == (16, 30)
    assert found.steps[0].warmup_micros is not None
    assert (found.steps[0].warmup_micros.p50, found.steps[0].warmup_micros.p95) == (53, 70)


def test_the_spread_between_nodes_is_measured_and_that_between_runs_the_largest() -> None:
    nodes = [
        node(n, steps=[step_document(8, us, 5)], spread={"run": run})
        for n, us, run in (("a", 90, 0.01), ("b", 110, 0.03))
    ]
    spread = aggregated(*nodes).spec.spread
    assert spread.run == 0.03
    assert spread.node == pytest.approx(2**0.5 * 10 / 100)


@pytest.mark.parametrize(
    ("measured", "of_class"), [((80.5, 91.0, None), 91.0), ((None, None, None), None)], ids=["the most", "none says it"]
)
def test_what_is_serial_of_a_class_is_that_of_its_slowest_node(
    measured: tuple[float | None, ...], of_class: float | None
) -> None:
    nodes = [node(f"n{number}", serialMicros=serial) for number, serial in enumerate(measured)]
    assert aggregated(*nodes).spec.serial_micros == of_class


def test_what_a_class_makes_of_its_cores_is_what_every_node_does() -> None:
    measured: tuple[dict[int, float], ...] = ({1: 500.0, 2: 900.0, 4: 1_500.0}, {1: 450.0, 2: 950.0}, {})
    rows = ([{"cores": cores, "imagesPerSecond": rates[cores]} for cores in rates] for rates in measured)
    nodes = [node(f"n{number}", decoding=decoding) for number, decoding in enumerate(rows)]
    decoding = aggregated(*nodes).spec.decoding
    assert [(rate.cores, rate.images_per_second) for rate in decoding] == [(1, 450.0), (2, 900.0)]


def test_the_memory_of_a_class_is_that_of_its_smallest_node() -> None:
    nodes = node("a", maxMiniBatchSize=64), node("b", maxMiniBatchSize=512)
    assert aggregated(*nodes).spec.max_mini_batch_size == 64
    assert [s.mini_batch_size for s in aggregated(*nodes).spec.steps] == [64]


def test_only_sizes_that_every_node_measured_are_the_class_s() -> None:
    nodes = (
        node("a", steps=[step_document(8, 10, 5), step_document(16, 18, 6)]),
        node("b", steps=[step_document(16, 18, 6), step_document(32, 30, 7)]),
    )
    assert [s.mini_batch_size for s in aggregated(*nodes).spec.steps] == [16]


def test_nodes_without_a_size_in_common_are_refused_with_their_names() -> None:
    nodes = node("a", steps=[step_document(8, 10, 5)]), node("b", steps=[step_document(16, 18, 6)])
    with pytest.raises(Invalid, match=r"^profiles: on-a, on-b have no mini-batch size in common"):
        class_profiles(nodes)


@pytest.mark.parametrize(("count", "spread"), [(2, 0.03), (4, 0.03), (5, 0.0)])
def test_a_few_nodes_that_agree_promise_no_less_spread_than_is_assumed_without_any(count: int, spread: float) -> None:
    assert aggregated(*(node(f"n{number}") for number in range(count))).spec.spread.node == spread


def test_devices_of_one_node_say_nothing_about_others() -> None:
    gpus = [profile(name=f"gpu-{n}", device={"node": "a", "uuid": f"GPU-{n}"}) for n in range(8)]
    assert aggregated(*gpus).spec.spread.node == 0.03


def test_a_node_that_ran_out_of_time_takes_no_size_from_the_others() -> None:
    whole = [step_document(size, 10 * size, 100 + size) for size in (1, 2, 64)]
    short = [step_document(size, 13 * size, 500) for size in (1, 2)]
    found = aggregated(node("a", steps=whole), node("b", steps=whole), node("c", steps=short, maxMiniBatchSize=512))
    assert [(step.mini_batch_size, step.latency_micros.mean) for step in found.spec.steps] == [
        (1, 11),
        (2, 22),
        (64, 640),
    ]
    assert found.spec.steps[-1].warmup_micros == Quantiles(p50=164, p95=164)
    found = aggregated(node("a", steps=whole), node("c", steps=short, maxMiniBatchSize=512))
    assert [step.mini_batch_size for step in found.spec.steps] == [1, 2], "one of two is not most"
    found = aggregated(node("a", steps=whole), node("b", steps=whole), node("c", steps=short, maxMiniBatchSize=32))
    assert [step.mini_batch_size for step in found.spec.steps] == [1, 2], "what one has no memory for is nobody's size"


def test_a_size_that_went_wrong_on_one_node_is_not_planned_and_makes_no_other_size_unsure() -> None:
    sizes = {size: 10_000 * size for size in (1, 2, 4, 8, 16)}

    def steps(found: dict[int, int]) -> list[dict[str, Any]]:
        return [step_document(size, us, 100) for size, us in found.items()]

    found = aggregated(node("a", steps=steps(sizes)), node("b", steps=steps(sizes | {16: 800_000})))
    assert [step.mini_batch_size for step in found.spec.steps] == [1, 2, 4, 8]
    assert found.spec.spread.node == 0.03
    counts = {A100: 4}
    assert build_pool(job(confidence=0.99).spec, [found], counts).spreads.node * quantile(0.99) < 1
    everywhere = {size: 5 * us for size, us in sizes.items()}
    found = aggregated(node("a", steps=steps(sizes)), node("b", steps=steps(everywhere)))
    assert len(found.spec.steps) == 5, "nodes that differ at every size do differ"


def test_nodes_that_differ_however_widely_make_a_profile_that_can_be_written() -> None:
    found = aggregated(*(node(name, steps=[step_document(8, us, 1)]) for name, us in (("a", 10), ("b", 10**7))))
    assert found.spec.spread.node == 0.99
    assert parse_profile(found.document()) == found


def test_a_node_without_a_start_up_does_not_make_the_others_start_in_no_time() -> None:
    known = {"startupMicros": {"p50": 5_000_000, "p95": 6_000_000}}
    assert aggregated(node("a", **known), node("b", startupMicros=None)).spec.startup_micros == Quantiles(
        p50=5_000_000, p95=6_000_000
    )
    assert aggregated(node("a", startupMicros=None), node("b", startupMicros=None)).spec.startup_micros is None


def test_one_busy_node_makes_the_class_s_profile_doubtful() -> None:
    assert aggregated(node("a"), node("b", busy=True)).spec.busy
    assert aggregated(node("a"), node("b", cutShort=True)).spec.cut_short


def test_a_class_agrees_with_fp32_as_the_worst_of_its_nodes_does() -> None:
    def agreeing(share: float) -> dict[str, Any]:
        return {"photos": 100, "sameTop1": share, "weightsDigest": "ab12"}

    nodes = node("a", agreement=agreeing(0.99)), node("b", agreement=agreeing(0.97)), node("c")
    found = aggregated(*nodes).spec.agreement
    assert found is not None
    assert found.same_top1 == 0.97
    assert aggregated(node("a"), node("b")).spec.agreement is None
