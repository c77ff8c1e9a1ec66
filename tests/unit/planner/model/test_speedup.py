"""The speed-up of decoding by cores: through what was measured, exact, and never falling."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.gpu_profile import DecodingRate
from dueby_planner.model.speedup import LINEAR, Speedup, speedup_of


def rates(*rows: tuple[int, float]) -> tuple[DecodingRate, ...]:
    """Return what was measured, as (cores, images a second)."""
    return tuple(DecodingRate(cores=cores, images_per_second=rate) for cores, rate in rows)


SPEEDUPS = st.dictionaries(st.integers(1, 64), st.floats(1, 10_000), max_size=6).map(
    lambda rows: speedup_of(rates(*sorted(rows.items())))
)


@pytest.mark.parametrize(
    ("cores", "speedup"),
    [
        pytest.param(1, Fraction(1), id="one core"),
        pytest.param(2, Fraction(9, 5), id="measured"),
        pytest.param(3, Fraction(12, 5), id="between two measurements"),
        pytest.param(4, Fraction(3), id="the most that was measured"),
        pytest.param(8, Fraction(6), id="beyond: as much a core as there"),
    ],
)
def test_the_speed_up_goes_through_what_was_measured(cores: int, speedup: Fraction) -> None:
    assert speedup_of(rates((1, 500), (2, 900), (4, 1500))).at(cores) == speedup


@pytest.mark.parametrize(
    ("measured", "rows"),
    [
        pytest.param(rates((1, 500), (2, 1100)), ((1, 1), (2, 2)), id="no core does more beside others"),
        pytest.param(rates((1, 500), (2, 900), (4, 800)), ((1, 1), (2, 1.8), (4, 1.8)), id="it never falls"),
        pytest.param(rates((2, 900), (4, 1350)), ((1, 1), (2, 2), (4, 3)), id="one core was not measured"),
    ],
)
def test_measurements_that_can_not_be_are_bounded(
    measured: tuple[DecodingRate, ...], rows: tuple[tuple[int, float], ...]
) -> None:
    assert speedup_of(measured).rows == tuple((cores, Fraction(str(speedup))) for cores, speedup in rows)


def test_where_nobody_has_measured_it_each_core_does_as_much_as_one() -> None:
    assert speedup_of(()) is LINEAR
    assert [LINEAR.at(cores) for cores in (1, 7, 1000)] == [1, 7, 1000]
    assert LINEAR.step_us(10_001, 7) == 1429


@given(SPEEDUPS, st.integers(1, 200))
def test_it_never_falls_and_is_never_more_than_the_cores(speedup: Speedup, cores: int) -> None:
    assert 1 <= speedup.at(cores) <= speedup.at(cores + 1)
    assert speedup.at(cores) <= cores


@given(SPEEDUPS, st.fractions(Fraction(1, 10), 100))
def test_the_fewest_cores_reach_it_and_one_fewer_do_not(speedup: Speedup, wanted: Fraction) -> None:
    cores = speedup.fewest_cores(wanted)
    assert speedup.at(cores) >= wanted
    assert cores == 1 or speedup.at(cores - 1) < wanted
