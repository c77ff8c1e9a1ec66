"""From profiles and counts to the pool: which profile counts, how those of nodes become one, and what plans warn of."""

from typing import Any

import pytest

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_planner.profiles.class_profiles import class_profiles, matching
from dueby_planner.profiles.pool import Pool, build_pool
from support.planner import A100, job, profile, step_document

L4 = "NVIDIA-L4"
SUBJECT = "efficientnet_b0 at 224 px, fp32, engine cudagraph"


def node(name: str, **spec: Any) -> GPUProfile:
    """Return what was measured on one node."""
    return profile(name=f"on-{name}", device={"node": name}, **spec)


def pool(*profiles: GPUProfile, counts: dict[str, Any] | None = None, **spec: Any) -> Pool:
    """Return the pool of a job, by default of four A100."""
    return build_pool(job(**spec).spec, profiles, {A100: 4} if counts is None else counts)


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


def test_with_auto_every_engine_s_sizes_may_be_planned_and_with_a_name_only_its_own() -> None:
    steps = [step_document(8, 10, 5)]
    both = profile(name="g", engine="cudagraph", steps=steps), profile(name="e", engine="cuda", steps=steps)
    assert [c.engine for c in pool(*both).groups[0].choices] == ["cuda", "cudagraph"]
    assert [c.engine for c in pool(*both, model={"engine": "cuda"}).groups[0].choices] == ["cuda"]


# ---- from a profile to choices


def test_the_latency_is_the_mean_and_the_starts_are_p95_to_plan_with_and_p50_to_expect() -> None:
    (choice,) = pool(profile(steps=[step_document(64, 14_010, 990_000, p50=900_000)])).groups[0].choices
    assert choice.latency_us == 14_010
    assert choice.start_us == 6_200_000 + 990_000
    assert choice.expected_start_us == 5_100_000 + 900_000
    assert choice.expected_warmup_us == 900_000


def test_where_a_size_has_no_warm_up_the_next_larger_one_s_counts() -> None:
    steps = [
        step_document(8, 10, None),
        step_document(16, 10, None),
        step_document(32, 10, 70),
        step_document(64, 9, 5),
    ]
    choices = pool(profile(steps=steps, startupMicros={"p50": 0, "p95": 0})).groups[0].choices
    assert [c.start_us for c in choices] == [70, 70, 70, 5]


def test_sizes_above_what_fits_in_memory_are_not_planned() -> None:
    choices = pool(profile(maxMiniBatchSize=100)).groups[0].choices
    assert [c.mini_batch_size for c in choices] == [64]


def test_a_pool_may_hold_devices_of_a_class_that_come_free_later() -> None:
    groups = pool(profile(), counts={A100: [(2, 0), (3, 60_000_000)]}).groups
    assert [(g.count, g.available_us) for g in groups] == [(2, 0), (3, 60_000_000)]


def test_the_job_s_classes_leave_the_others_out() -> None:
    profiles = profile(name="a"), profile(name="b", device_class=L4)
    found = pool(*profiles, counts={A100: 4, L4: 9}, gpus={"classes": [L4]})
    assert [(g.device_class, g.count) for g in found.groups] == [(L4, 9)]


@pytest.mark.parametrize(("engine", "is_gpu"), [("openvino", False), ("eager", False), ("cuda", True)])
def test_the_engine_decides_whether_it_is_a_gpu_never_the_name(engine: str, is_gpu: bool) -> None:
    assert pool(profile(engine=engine)).is_gpu is is_gpu


# ---- spreads and warnings


def test_the_spreads_are_the_largest_among_the_classes() -> None:
    profiles = (
        profile(name="a", spread={"run": 0.01, "node": 0.05}),
        profile(name="b", device_class=L4, spread={"run": 0.04, "node": 0.02}),
    )
    spreads = pool(*profiles, counts={A100: 1, L4: 1}).spreads
    assert (spreads.run, spreads.node) == (0.04, 0.05)


def test_a_profile_that_is_not_of_the_pool_adds_no_spread() -> None:
    other = profile(name="b", device_class=L4, spread={"run": 0.5, "node": 0.5})
    assert pool(profile(), other).spreads.run == 0.01


def test_where_a_profile_has_no_spread_one_is_assumed_and_a_warning_says_so() -> None:
    found = pool(profile(name="bare", spread=None))
    assert (found.spreads.run, found.spreads.node) == (0.02, 0.03)
    assert found.warnings == (
        "bare has no spread between runs; 0.02 is assumed",
        "bare has no spread between nodes; 0.03 is assumed",
    )


def test_a_spread_of_zero_is_one_that_was_measured() -> None:
    found = pool(profile(spread={"run": 0, "node": 0}))
    assert (found.spreads.run, found.spreads.node) == (0, 0)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("spec", "warning"),
    [
        ({"startupMicros": None}, "a100 has no start-up time; 0 is assumed, so workers will start later than planned"),
        ({"busy": True}, "a100 was measured while the machine was busy with something else; profile it again"),
    ],
)
def test_what_makes_a_plan_doubtful_is_a_warning(spec: dict[str, Any], warning: str) -> None:
    assert pool(profile(**spec)).warnings == (warning,)


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


def test_a_start_up_that_one_node_lacks_is_not_the_class_s() -> None:
    assert aggregated(node("a"), node("b", startupMicros=None)).spec.startup_micros is None


def test_one_busy_node_makes_the_class_s_profile_doubtful() -> None:
    assert aggregated(node("a"), node("b", busy=True)).spec.busy


def test_the_order_in_which_profiles_are_given_does_not_matter() -> None:
    nodes = [node(n, steps=[step_document(8, us, 5)]) for n, us in (("a", 100), ("b", 103))]
    assert pool(*nodes).groups[0].choices == pool(*reversed(nodes)).groups[0].choices


# ---- what can't be planned


@pytest.mark.parametrize(
    ("counts", "spec", "sentence"),
    [
        pytest.param({}, {}, "pool: is empty: there is no device to plan with", id="an empty pool"),
        pytest.param({A100: 0}, {}, "pool: is empty: there is no device to plan with", id="none of the class"),
        pytest.param(
            {A100: 4, "H100": 1},
            {},
            f"profiles: No profile of efficientnet_b0 at 224 px, fp32 for device class H100; there are profiles of "
            f"{A100}, {L4}. Run `dueby profile`.",
            id="a class that nobody profiled",
        ),
        pytest.param(
            {A100: 4},
            {"gpus": {"classes": ["H100"]}},
            f"spec.gpus.classes: There is no device class H100; there are {A100}, {L4}.",
            id="an unknown class in the job",
        ),
        pytest.param(
            {A100: 4},
            {"gpus": {"classes": [L4]}},
            f"pool: is empty: there is no device of the classes {L4} to plan with",
            id="the job's classes have no device",
        ),
        pytest.param(
            {A100: 4},
            {"model": {"precision": "fp16"}},
            f"profiles: No profile of efficientnet_b0 at 224 px, fp16 for device class {A100}; this class has profiles "
            f"of {SUBJECT}. Run `dueby profile`.",
            id="another precision",
        ),
        pytest.param(
            {A100: 4},
            {"model": {"engine": "cuda"}},
            f"profiles: No profile of efficientnet_b0 at 224 px, fp32, engine cuda for device class {A100}; this class "
            f"has profiles of {SUBJECT}. Run `dueby profile`.",
            id="another engine",
        ),
    ],
)
def test_a_pool_that_can_not_be_planned_is_refused_in_a_sentence(
    counts: dict[str, int], spec: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(Invalid) as error:
        pool(profile(), profile(name="b", device_class=L4), counts=counts, **spec)
    assert str(error.value) == sentence


def test_without_any_profile_it_says_so() -> None:
    with pytest.raises(
        Invalid, match=rf"^profiles: No profile of .* for device class {A100}; there are no profiles at all\."
    ):
        pool()
