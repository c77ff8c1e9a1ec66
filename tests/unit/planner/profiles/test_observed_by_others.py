"""What one namespace's jobs can do to another's plans: little, whatever they say."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.gpu_profile import ObservedJob, Predicted, ProfileSpec, Quantiles, Spread
from dueby_planner.profiles.observed import ENOUGH_JOBS, MAX_JOBS, MAX_OF_OTHERS, find_drift, learn, with_job
from dueby_planner.profiles.pool import build_pool
from support.planner import A100, job, profile, step_document

STEPS = [step_document(64, 100_000, 900_000), step_document(128, 190_000, 900_000)]
BEGIN = datetime(2026, 11, 25, tzinfo=UTC)
STARTUP = Quantiles(p50=5_000_000, p95=9_000_000)


def row(number: int, namespace: str, ratio: float | None = 1.0, **changes: object) -> ObservedJob:
    """Return the row of a job of this namespace."""
    found = ObservedJob(
        job=f"{namespace}-{number}",
        namespace=namespace,
        time=BEGIN + timedelta(minutes=number),
        workers=2,
        steps=1000,
        step_ratio=ratio,
    )
    return found.replace(**changes)


def after(rows: Sequence[ObservedJob], spec: ProfileSpec) -> ProfileSpec:
    """Return the profile after these jobs, in this order."""
    for each in rows:
        spec = with_job(spec, each)
    return spec


RATIOS = st.none() | st.floats(0.0001, 100)
LIES = st.lists(
    st.builds(
        lambda number, ratio, spread, starts, steps: row(
            number, "liar", ratio, step_spread=spread, startup_micros=tuple(sorted(starts)), steps=steps
        ),
        st.integers(0, 1000),
        RATIOS,
        st.none() | st.floats(0, 0.99),
        st.lists(st.integers(0, 10**15), max_size=16),
        st.integers(0, 10**12),
    ),
    max_size=60,
)
HONEST = st.lists(st.floats(0.7, 1.5), max_size=5).map(
    lambda ratios: [row(n, "honest", ratio, startup_micros=(12_000_000,)) for n, ratio in enumerate(ratios)]
)
SPECS = st.sampled_from(
    [
        profile(steps=STEPS).spec.replace(startup_micros=STARTUP, spread=Spread(run=0.03, node=0.02)),
        profile(steps=STEPS).spec.replace(startup_micros=None, spread=Spread()),
        profile(steps=STEPS).spec.replace(
            startup_micros=STARTUP,
            spread=Spread(run=0.2),
            predicted=Predicted(profile="other", image_size=160, error=0.2),
        ),
    ]
)


@given(spec=SPECS, honest=HONEST, lies=LIES)
def test_whatever_a_namespace_says_another_ones_plan_moves_by_no_more_than_the_bounds(
    spec: ProfileSpec, honest: list[ObservedJob], lies: list[ObservedJob]
) -> None:
    without = learn(after(honest, spec), namespace="honest")
    found = learn(after([*honest, *lies], spec), namespace="honest")
    if len(honest) >= ENOUGH_JOBS:
        assert (found.ratio, found.spec.steps, found.spec.spread) == (
            without.ratio,
            without.spec.steps,
            without.spec.spread,
        )
    assert abs(found.ratio / without.ratio - 1) <= MAX_OF_OTHERS + 1e-9
    for before, now in zip(without.spec.steps, found.spec.steps, strict=True):
        assert abs(now.latency_micros.mean / before.latency_micros.mean - 1) <= MAX_OF_OTHERS + 1e-4
    for known, spread in (
        (without.spec.spread.run, found.spec.spread.run),
        (without.spec.spread.node, found.spec.spread.node),
    ):
        assert (known or 0.0) <= (spread or 0.0) <= max(known or 0.0, MAX_OF_OTHERS)
    before_s, now_s = without.spec.startup_micros, found.spec.startup_micros
    if before_s is None or len(honest) >= 5:
        assert now_s == before_s
    else:
        assert now_s is not None
        assert before_s.p50 <= now_s.p50 <= 2 * before_s.p95
        assert before_s.p95 <= now_s.p95 <= 2 * before_s.p95


def test_a_plan_believes_its_own_namespaces_jobs_and_on_ones_own_machine_all() -> None:
    spec = after([row(n, "slow", 1.3) for n in range(3)], profile(steps=STEPS).spec)
    found = profile().replace(spec=spec)

    def ratio(namespace: str | None) -> float:
        pool = build_pool(job().spec, [found], {A100: 4}, namespace=namespace)
        return pool.groups[0].choices[0].step_ratio

    assert (ratio("slow"), ratio(None), ratio("other"), ratio("")) == (1.3, 1.3, 1.1, 1.1)


@given(flood=st.integers(1, 100), others=st.integers(1, 4), own=st.integers(1, 5))
def test_no_namespace_pushes_out_the_last_rows_of_another(flood: int, others: int, own: int) -> None:
    rows = [row(n, f"team-{team}") for team in range(others) for n in range(own)]
    spec = after([*rows, *(row(1000 + n, "flood") for n in range(flood))], profile().spec)
    assert len(spec.observed) == min(MAX_JOBS, len(rows) + flood)
    for team in range(others):
        kept = sum(found.namespace == f"team-{team}" for found in spec.observed)
        assert kept >= min(own, MAX_JOBS // (others + 1))


@pytest.mark.parametrize(
    ("ratios", "off"),
    [
        pytest.param({"a": [1.3] * 3}, 0.3, id="the only namespace there is"),
        pytest.param({"a": [1.3] * 9, "b": [1.0]}, None, id="not one of two"),
        pytest.param({"a": [1.3] * 3, "b": [1.2] * 3}, 0.2, id="two that agree, by the lesser"),
        pytest.param({"a": [1.3] * 3, "b": [0.8] * 3}, -0.2, id="two that are off either way"),
        pytest.param({"a": [9.0] * 9, "b": [1.01], "c": [0.99]}, None, id="not one of three"),
        pytest.param({"a": [9.0] * 9, "b": [1.15], "c": [1.0]}, 0.15, id="most of three"),
    ],
)
def test_a_profile_is_off_if_most_namespaces_say_so(ratios: dict[str, list[float]], off: float | None) -> None:
    rows = [row(n, name, ratio) for name, found in ratios.items() for n, ratio in enumerate(found)]
    found = find_drift(profile().spec.replace(observed=tuple(rows)))
    assert found == (None if off is None else pytest.approx(off))
