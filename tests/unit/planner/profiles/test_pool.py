"""From profiles and counts to the pool: the choices of each class, the spreads, and what plans warn of."""

from typing import Any

import pytest

from dueby_api.agreement import Agreement
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.input_cost import InputCost
from dueby_planner.profiles.pool import Pool, build_pool
from dueby_planner.small_samples import Z95
from support.planner import A100, job, profile, step_document

L4 = "NVIDIA-L4"
SUBJECT = "efficientnet_b0 at 224 px, fp32, engine cudagraph"


def node(name: str, **spec: Any) -> GPUProfile:
    """Return what was measured on one node."""
    return profile(name=f"on-{name}", device={"node": name}, **spec)


def pool(*profiles: GPUProfile, counts: dict[str, Any] | None = None, **spec: Any) -> Pool:
    """Return the pool of a job, by default of four A100."""
    return build_pool(job(**spec).spec, profiles, {A100: 4} if counts is None else counts)


# ---- from a profile to choices


def test_with_auto_every_engine_s_sizes_may_be_planned_and_with_a_name_only_its_own() -> None:
    steps = [step_document(8, 10, 5)]
    both = profile(name="g", engine="cudagraph", steps=steps), profile(name="e", engine="cuda", steps=steps)
    assert [c.engine for c in pool(*both).groups[0].choices] == ["cuda", "cudagraph"]
    assert [c.engine for c in pool(*both, model={"engine": "cuda"}).groups[0].choices] == ["cuda"]


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


PHOTOS_ON_GPUS = {"source": {"uri": "photos", "decoder": "gpu"}}


def test_classes_without_a_gpu_are_omitted_where_a_gpu_is_to_decode() -> None:
    profiles = profile(), profile(name="b", device_class="cpu-2", engine="openvino")
    found = pool(*profiles, counts={A100: 4, "cpu-2": 9}, **PHOTOS_ON_GPUS)
    assert [(g.device_class, g.count) for g in found.groups] == [(A100, 4)]
    assert found.warnings == (
        "source.decoder is gpu, and what that takes of a GPU isn't measured: steps are planned as if the worker's "
        "cores decoded, so they may take longer, and mini-batches have less memory",
        "the profiles of cpu-2 are of engines that run on CPUs, so that source.decoder: gpu leaves them out",
    )


def test_where_a_gpu_is_to_decode_only_its_engines_are_planned() -> None:
    steps = [step_document(8, 10, 5)]
    both = profile(name="g", engine="cuda", steps=steps), profile(name="e", engine="eager", steps=steps)
    assert [c.engine for c in pool(*both, **PHOTOS_ON_GPUS).groups[0].choices] == ["cuda"]


def test_where_a_gpu_is_to_decode_and_there_is_none_the_plan_says_what_to_do() -> None:
    with pytest.raises(Invalid) as error:
        pool(profile(device_class="cpu-2", engine="openvino"), counts={"cpu-2": 4}, **PHOTOS_ON_GPUS)
    assert str(error.value) == (
        "spec.source.decoder: gpu: the profiles of cpu-2 are of engines that run on CPUs; set it to cpu, or profile a "
        "GPU"
    )


def test_decoding_on_a_gpu_is_planned_as_if_cores_did_it() -> None:
    cost = InputCost(decode_us=1_000)
    for source in ({}, PHOTOS_ON_GPUS):
        found = build_pool(job(**source).spec, [profile()], {A100: 1}, cost=cost, cores={A100: 1})
        assert [c.latency_us for c in found.groups[0].choices] == [
            max(c.latency_us, c.mini_batch_size * 1_000) for c in pool(profile()).groups[0].choices
        ]


def test_the_order_in_which_profiles_are_given_does_not_matter() -> None:
    nodes = [node(n, steps=[step_document(8, us, 5)]) for n, us in (("a", 100), ("b", 103))]
    assert pool(*nodes).groups[0].choices == pool(*reversed(nodes)).groups[0].choices


# ---- spreads and warnings


def test_the_spreads_are_the_largest_among_the_classes() -> None:
    profiles = (
        profile(name="a", spread={"run": 0.01, "node": 0.05}),
        profile(name="b", device_class=L4, spread={"run": 0.04, "node": 0.02}),
    )
    spreads = pool(*profiles, counts={A100: 1, L4: 1}).spreads
    assert (spreads.run, spreads.node) == (0.04, 0.05)


def test_the_spread_of_starts_is_the_least_of_the_classes_at_their_fastest_sizes() -> None:
    own = {"spread": {"run": 0.01, "node": 0.05, "ownStart": 0.25}, "startupMicros": {"p50": 1_000, "p95": 3_000}}
    slow = profile(name="b", device_class=L4, steps=[step_document(1, 50, 5), step_document(8, 200, 5)], **own)
    fast = profile(name="a", steps=[step_document(8, 100, 5)], **own)
    # Half of 2,000 us is each start's own, in which a slow device does 40 images and a fast one 80.
    alone = pool(fast, counts={A100: 1})
    assert alone.spreads.start == pytest.approx(80 / Z95)
    assert [choice.own_start_us for choice in alone.groups[0].choices] == [1_000]
    assert pool(fast, slow, counts={A100: 1, L4: 1}).spreads.start == pytest.approx(40 / Z95)
    assert pool(fast, slow, counts={A100: 1, L4: 0}).spreads.start == pytest.approx(80 / Z95)
    assert pool(profile(startupMicros={"p50": 1, "p95": 9}), counts={A100: 1}).spreads.start == 0


def test_a_profile_that_is_not_of_the_pool_adds_no_spread() -> None:
    other = profile(name="b", device_class=L4, spread={"run": 0.5, "node": 0.5})
    assert pool(profile(), other).spreads.run == 0.01


def test_where_a_profile_has_no_spread_one_is_assumed_and_a_warning_says_so() -> None:
    found = pool(profile(name="bare", spread=None))
    assert (found.spreads.run, found.spreads.node) == (0.02, 0.03)
    between_runs = "bare has no spread between runs; 0.02 is assumed"
    # One machine has no others to be compared with, which is normal.
    assert found.warnings == (between_runs,)
    in_cluster = build_pool(job().spec, [profile(name="bare", spread=None)], {A100: 4}, namespace="vision")
    assert in_cluster.warnings == (between_runs, "bare has no spread between nodes; 0.03 is assumed")


def test_a_spread_of_zero_is_one_that_was_measured() -> None:
    found = pool(profile(spread={"run": 0, "node": 0}))
    assert (found.spreads.run, found.spreads.node) == (0, 0)
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("spec", "warning"),
    [
        pytest.param(
            {
                "agreement": {
                    "photos": 200,
                    "sameTop1": 0.935,
                    "maxDifference": 0.3,
                    "weightsDigest": "0123456789abcdef",
                }
            },
            "a100: at fp32, 93.5% of 200 photos have fp32's best class, its probability differs by up to 0.3 "
            "(weights 0123456789ab)",
            id="another precision's answers",
        ),
        pytest.param(
            {
                "agreement": {
                    "photos": 64,
                    "similarity": 0.41,
                    "leastSimilarity": 0.19,
                    "weightsDigest": "0123456789abcdef",
                }
            },
            "a100: at fp32, embeddings of 64 photos have a mean cosine of 0.4100 with fp32's, at least 0.1900 "
            "(weights 0123456789ab)",
            id="another precision's embeddings",
        ),
        ({"startupMicros": None}, "a100 has no start-up time; 0 is assumed, so workers will start later than planned"),
        ({"cutShort": True}, "a100 ends at mini-batches of 256: time ran out or a process crashed; profile it again"),
        ({"busy": True}, "a100 was measured while the machine was busy with something else; profile it again"),
    ],
)
def test_what_makes_a_plan_doubtful_is_a_warning(spec: dict[str, Any], warning: str) -> None:
    assert pool(profile(**spec)).warnings == (warning,)


@pytest.mark.parametrize(
    ("share", "warnings"),
    [
        pytest.param(0.9, ("at fp32, 90.0% of 40 photos have fp32's best class (weights abc)",), id="low"),
        pytest.param(0.95, (), id="high enough"),
    ],
)
def test_what_was_measured_for_the_job_itself_takes_the_place_of_what_profiles_say(
    share: float, warnings: tuple[str, ...]
) -> None:
    of_others = {"photos": 200, "sameTop1": 0.5, "weightsDigest": "def"}
    own = Agreement(photos=40, same_top1=share, weights_digest="abc")
    found = build_pool(job().spec, [profile(agreement=of_others)], {A100: 4}, agreement=own)
    assert found.warnings == warnings


ADVICE = (
    "to keep less, close other programs and profile again when the machine is idle; if it is always as busy, jobs need "
    "this spare time"
)


@pytest.mark.parametrize(
    ("run", "job_spec", "warnings"),
    [
        pytest.param(0.308, {}, (f"is 30.8%, so 51% are kept spare; {ADVICE}",), id="at the default confidence"),
        pytest.param(0.1, {"confidence": 0.99}, (f"is 10.0%, so 23% are kept spare; {ADVICE}",), id="at 0.99"),
        pytest.param(0.308, {"confidence": 0.5}, (), id="without a margin"),
        pytest.param(0.099, {}, (), id="a spread that isn't wide"),
    ],
)
def test_of_a_wide_spread_a_plan_says_what_it_costs_and_what_to_do(
    run: float, job_spec: dict[str, Any], warnings: tuple[str, ...]
) -> None:
    found = pool(profile(spread={"run": run, "node": 0.02}), **job_spec).warnings
    assert found == tuple(f"the spread between runs of a100 {warning}" for warning in warnings)


@pytest.mark.parametrize(
    ("uid", "namespace"),
    [
        pytest.param(None, "vision", id="planned by the operator"),
        pytest.param("0a1b", None, id="planned here with what kubectl has printed"),
    ],
)
def test_of_a_cluster_s_wide_spread_a_plan_says_what_helps_in_a_cluster(uid: str | None, namespace: str | None) -> None:
    wide = profile(spread={"run": 0.308, "node": 0.02})
    wide = wide.replace(metadata=wide.metadata.replace(uid=uid))
    assert build_pool(job().spec, [wide], {A100: 4}, namespace=namespace).warnings == (
        "the spread between runs of a100 is 30.8%, so 51% are kept spare; to keep less, have its nodes measured while "
        "nothing else runs on them (docs/profiling.md, “Quiet nodes”); if they are always as busy, jobs need this "
        "spare time",
    )


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
            f"{A100}, {L4}. Run: dueby profile --model efficientnet_b0",
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
            f"of {SUBJECT}. Run: dueby profile --model efficientnet_b0 --precision fp16",
            id="another precision",
        ),
        pytest.param(
            {A100: 4},
            {"model": {"engine": "cuda"}},
            f"profiles: No profile of efficientnet_b0 at 224 px, fp32, engine cuda for device class {A100}; this class "
            f"has profiles of {SUBJECT}. Run: dueby profile --model efficientnet_b0 --engine cuda",
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
