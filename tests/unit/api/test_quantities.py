"""Kubernetes quantities as numbers: read as Kubernetes reads them, and never infinite."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.quantities import LARGEST, SMALLEST, Amount, quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [("250m", 0.25), ("4", 4), ("2Gi", 2**31), ("1e3", 1000), ("1.5k", 1500), (3, 3), (0.5, 0.5), ("-1", -1), ("0", 0)],
)
def test_a_quantity_is_read(text: Amount, number: float) -> None:
    assert quantity(text) == pytest.approx(number)


@pytest.mark.parametrize(
    "text", ["", "4 Gi", "many", "4GiB", "1.2.3", ".", "1Ei x", "٣", "nan", "1" * 65, float("nan"), float("inf")]
)
def test_what_is_no_quantity_is_refused(text: Amount) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity(text)


@pytest.mark.parametrize("text", ["1e400", "9" * 60 + "Ei", "100E", 1e300, pytest.param(10**5000, id="digits")])
def test_a_quantity_is_bounded_as_kubernetes_bounds_it(text: Amount) -> None:
    assert quantity(text) == LARGEST


def test_what_is_closer_to_nothing_than_kubernetes_counts_is_the_least_quantity() -> None:
    assert quantity("1e-320") == SMALLEST
    assert quantity("-0.1n") == -SMALLEST


@given(st.text(alphabet="0123456789.eE+-mkKMGiEnu") | st.integers() | st.floats())
def test_any_amount_is_a_finite_number_or_refused(amount: Amount) -> None:
    try:
        value = quantity(amount)
    except ValueError:
        return
    assert math.isfinite(value)
    assert value == 0 or SMALLEST <= abs(value) <= LARGEST
