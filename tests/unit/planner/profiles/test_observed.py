"""What jobs have shown of a device class: when it counts, how plans use it, and for how long."""

from collections.abc import Sequence
from math import sqrt
from typing import Any

import pytest

from dueby_api.capacity import NodePool
from dueby_api.gpu_profile import GPUProfile, ObservedJob, Quantiles, parse_profile
from dueby_api.schema import validate
from dueby_planner.model.capacity import Provision
from dueby_planner.profiles.observed import (
    find_drift,
    keep_valid_rows,
    learn,
    learn_provision,
    summarize_provision,
    summarize_steps,
    thin_out_starts,
    with_job,
)
from dueby_planner.profiles.pool import Pool, build_pool
from support.planner import A100, job, profile, step_document

STEPS = [step_document(64, 10_000, 900_000)]


def row(number: int, ratio: float | None = 1.0, **changes: Any) -> dict[str, Any]:
    """Return a job's row in a profile."""
    whole = {
        "job": f"uid-{number}",
        "time": f"2026-11-25T02:00:{number:02d}Z",
        "workers": 2,
        "steps": 1000,
        "stepRatio": ratio,
        **changes,
    }
    return {key: value for key, value in whole.items() if value is not None}


def observed(*ratios: float | None, **spec: Any) -> GPUProfile:
    """Return a profile with a job's row for each of these ratios."""
    rows = [row(number, ratio) for number, ratio in enumerate(ratios)]
    return profile(**{"steps": STEPS, "observed": rows, **spec})


def pool(found: GPUProfile) -> Pool:
    return build_pool(job().spec, [found], {A100: 4})


@pytest.mark.parametrize(
    ("rows", "ratio"),
    [
        pytest.param([], None, id="no job"),
        pytest.param([row(0, 1.2), row(1, 1.2)], None, id="two jobs"),
        pytest.param([row(0, 1.1), row(1, 1.2), row(2, 1.3)], 1.2, id="three jobs"),
        pytest.param([row(n, 1.2, steps=60) for n in range(3)], None, id="three with too few steps"),
        pytest.param([row(0, 1.2), row(1, 1.2), row(2, None)], None, id="one of three was short of input"),
    ],
)
def test_steps_count_once_enough_jobs_have_shown_enough_of_them(
    rows: list[dict[str, Any]], ratio: float | None
) -> None:
    shown = summarize_steps(profile(observed=rows).spec)
    assert (shown and shown.ratio) == (None if ratio is None else pytest.approx(ratio))


@pytest.mark.parametrize("ratio", [1e-9, 100.0])
def test_of_steps_that_no_device_has_a_plan_can_be_made(ratio: float) -> None:
    found = observed(ratio, ratio, ratio)
    learned = learn(found.spec).spec
    assert parse_profile(found.replace(spec=learned).document()).spec == learned
    assert pool(found).groups[0].choices[0].latency_us == max(1, round(10_000 * max(1e-4, ratio)))


def test_a_plan_takes_the_steps_as_jobs_have_shown_them_and_says_so() -> None:
    found = pool(observed(1.1, 1.2, 1.3))
    (choice,) = found.groups[0].choices
    assert (choice.latency_us, choice.step_ratio) == (12_000, 1.2)
    assert (
        "a100: steps are planned at 1.200 times the measured latency, as in 3 earlier jobs (3,000 steps)"
        in found.warnings
    )
    before = pool(observed(1.1, 1.2))
    assert before.groups[0].choices[0].latency_us == 10_000
    assert not [warning for warning in before.warnings if "jobs" in warning]


@pytest.mark.parametrize(
    ("ratios", "measured", "run"),
    [
        pytest.param([1.0, 1.0, 1.0], 0.0, 0.02, id="never below 2 %"),
        pytest.param([0.9, 1.0, 1.1], 0.01, 0.205, id="as three jobs foresee the next one"),
        pytest.param([1.0, 1.0, 1.0], 0.08, 0.08, id="few jobs only add to what was measured"),
        pytest.param([1.0, 1.0, 1.0, 1.0, 1.0], 0.08, 0.0155, id="five are worth more than it"),
        pytest.param([1.0] * 12, 0.08, 0.01, id="what is least assumed counts like three"),
    ],
)
def test_the_spread_between_runs_is_that_of_the_jobs_ratios(
    ratios: Sequence[float], measured: float, run: float
) -> None:
    assert learn(observed(*ratios, spread={"run": measured}).spec).spec.spread.run == pytest.approx(run, abs=1e-3)


def test_the_spread_between_nodes_is_that_of_workers_within_jobs() -> None:
    rows = [row(n, stepSpread=spread) for n, spread in enumerate([0.03, 0.05, 0.0, None, 0.04])]
    learned = learn(profile(observed=rows, spread={"run": 0.02, "node": 0.3}).spec).spec
    assert learned.spread.node == pytest.approx(0.0354, abs=1e-4)
    alone = learn(profile(observed=[row(n) for n in range(5)], spread={"run": 0.02, "node": 0.3}).spec).spec
    assert alone.spread.node == 0.3, "where no job had two workers it is what it was"


def test_what_workers_differ_by_is_not_counted_again_between_runs() -> None:
    # Workers that differ by 8 % make means of four that differ by 4 %.
    ratios = [0.95, 0.98, 1.0, 1.02, 1.05] * 2
    seen = learn(observed(*ratios).spec).spec.spread.run
    assert seen is not None
    assert seen == pytest.approx(0.042, abs=0.001)

    def left(workers: int) -> float | None:
        rows = [row(n, ratio, stepSpread=0.08, workers=workers) for n, ratio in enumerate(ratios)]
        return learn(profile(observed=rows).spec).spec.spread.run

    assert left(4) == pytest.approx(sqrt(seen**2 - 0.04**2), abs=1e-3)
    assert left(400) == pytest.approx(seen, abs=0.001)
    assert left(2) == pytest.approx(0.02 * sqrt(3 / 10), abs=1e-4), "never less than that"


STARTS = [[90, 110], [110, 90], [95, 105], [100, 100], [90, 110]]


@pytest.mark.parametrize(
    ("starts", "measured", "share"),
    [
        pytest.param(STARTS, None, 1.0, id="five jobs whose means agree"),
        pytest.param([[90, 90], [110, 110], [95, 95], [105, 105], [100, 100]], 0.7, 0.0, id="five, all in common"),
        pytest.param(STARTS[:4], None, 0.0, id="four can't show it"),
        pytest.param(STARTS[:4], 0.7, 0.7, id="four keep what was measured"),
        pytest.param([[90, 90], [110, 110], [95, 95]], 0.7, 0.0, id="three lower it"),
        pytest.param([[90], [110], [95], [105], [100]], 0.7, 0.7, id="workers alone say nothing"),
    ],
)
def test_what_each_start_has_alone_is_what_the_workers_of_a_job_differ_by(
    starts: list[list[int]], measured: float | None, share: float
) -> None:
    rows = [row(n, startupMicros=sorted(each), workers=len(each)) for n, each in enumerate(starts)]
    spread = {"run": 0.02} | ({} if measured is None else {"ownStart": measured})
    learned = learn(profile(observed=rows, spread=spread).spec).spec
    assert learned.spread.own_start == share
    remarks = learn(profile(observed=rows, spread=spread).spec).remarks
    assert any(f"{share:.0%} of its variance is each worker's own" in remark for remark in remarks) == (share > 0)
    others = learn(profile(observed=rows, spread=spread).spec, namespace="other").spec
    assert others.spread.own_start in (None, measured), "others' rows never say that more of it is own"


def test_of_a_predicted_profile_three_jobs_take_the_predictions_error_away() -> None:
    predicted = {"profile": "relative", "imageSize": 160, "error": 0.2}
    found = learn(observed(1.18, 1.2, 1.22, predicted=predicted, spread={"run": 0.2}).spec).spec
    assert found.spread.run == pytest.approx(0.0342, abs=0.0005)


@pytest.mark.parametrize(
    ("starts", "p50", "p95"),
    [
        pytest.param([], 5, 9, id="none"),
        pytest.param([20] * 4, 5, 9, id="too few"),
        pytest.param([20] * 20, 20, 20, id="many more than the profile's processes"),
        pytest.param([5, 5, 5, 5, 30], 5, 30, id="as many as the profile's processes"),
    ],
)
def test_start_ups_are_pooled_with_the_profiles(starts: list[int], p50: int, p95: int) -> None:
    rows = [row(n, None, startupMicros=starts[n * 10 : n * 10 + 10]) for n in range(2)]
    found = learn(profile(observed=rows, processes=5, startupMicros={"p50": 5, "p95": 9}).spec)
    assert found.spec.startup_micros == Quantiles(p50=p50, p95=p95)
    assert found.ratio == 1.0
    remark = f"the start-up time includes those of {len(starts)} workers of earlier jobs"
    assert found.remarks == ((remark,) if len(starts) >= 5 else ())


def test_a_profile_without_a_start_up_has_that_of_the_workers() -> None:
    found = profile(observed=[row(0, None, startupMicros=[1, 2, 3, 4, 5])], startupMicros=None)
    assert learn(found.spec).spec.startup_micros == Quantiles(p50=3, p95=5)


@pytest.mark.parametrize(
    ("ratios", "off"),
    [
        pytest.param([1.12, 1.12, 1.12], 0.12, id="longer"),
        pytest.param([0.85, 0.85, 0.85], -0.15, id="shorter"),
        pytest.param([1.09, 1.10, 1.11], None, id="10 % is within"),
        pytest.param([1.5, 1.5], None, id="too few jobs"),
    ],
)
def test_a_profile_is_off_if_enough_steps_are_more_than_ten_percent_off(
    ratios: Sequence[float], off: float | None
) -> None:
    found = observed(*ratios)
    assert find_drift(found.spec) == (None if off is None else pytest.approx(off))


def test_a_job_counts_once_and_the_oldest_of_more_than_twenty_go() -> None:
    spec = profile().spec
    for number in [*range(25), 24, 7]:
        spec = with_job(spec, parse_profile(profile(observed=[row(number)]).document()).spec.observed[0])
    assert [found.job for found in spec.observed] == [f"uid-{number}" for number in range(5, 25)]


@pytest.mark.parametrize(
    ("latency", "is_kept"),
    [pytest.param(10_100, True, id="1 % longer"), pytest.param(11_000, False, id="10 % longer")],
)
def test_rows_end_with_the_measurement_that_they_are_ratios_to(latency: int, is_kept: bool) -> None:
    before, now = observed(1.1), profile(steps=[step_document(64, latency, 900_000)])
    assert keep_valid_rows(before.spec, now.spec) == (before.spec.observed if is_kept else ())


def test_of_many_start_ups_sixteen_are_kept_with_the_least_and_the_largest() -> None:
    kept = thin_out_starts(range(100, 0, -1))
    assert (len(kept), kept[0], kept[-1]) == (16, 1, 100)
    assert thin_out_starts([3, 1, 2]) == (1, 2, 3)


def test_a_row_is_read_as_it_is_written() -> None:
    found = observed(1.1)
    assert parse_profile(found.document()) == found
    assert isinstance(found.spec.observed[0], ObservedJob)


BURST = {"name": "burst", "class": A100, "devicesPerNode": 8, "maxNodes": 4, "nodeSelector": {"pool": "burst"}}
MINUTE_US = 60_000_000


@pytest.mark.parametrize(
    ("minutes", "expected", "late"),
    [
        pytest.param([], 10, 10, id="none: as configured"),
        pytest.param([4, 4, 5, 6], 10, 10, id="four nodes are too few"),
        pytest.param([4, 4, 5, 6, 7], 5, 10, id="five: of 95 % nobody knows yet"),
        pytest.param([4] * 10 + [6] * 10, 6, 6, id="twenty, which were all faster"),
        pytest.param([4] * 10 + [30] * 10, 10, 30, id="some that took longer than configured"),
    ],
)
def test_what_a_pool_s_nodes_take_to_come_is_learned_with_the_configured_time_as_one_more_node_s(
    minutes: list[int], expected: int, late: int
) -> None:
    pool = validate(NodePool, {**BURST, "timeToProvision": "10m"})
    times = [minute * MINUTE_US for minute in minutes]
    halves = [row(n, provisionMicros={"burst": half, "other": [1]}) for n, half in enumerate([times[:9], times[9:]])]
    learned = learn_provision([pool], [profile(observed=halves), profile(device_class="NVIDIA-L4", observed=halves)])
    assert learned == {"burst": Provision(expected_us=expected * MINUTE_US, late_us=late * MINUTE_US)}


def test_a_profile_says_how_many_nodes_of_a_pool_have_come_and_after_how_long() -> None:
    rows = [
        row(0, provisionMicros={"burst": [MINUTE_US, 3 * MINUTE_US]}),
        row(1, provisionMicros={"burst": [MINUTE_US]}),
    ]
    assert summarize_provision(profile(observed=rows).spec) == {
        "burst": (3, Quantiles(p50=MINUTE_US, p95=3 * MINUTE_US))
    }
