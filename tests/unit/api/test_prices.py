"""Amounts of money: millionths in, words for people out."""

import pytest

from dueby_api.prices import format_amount, parse_amount


@pytest.mark.parametrize(
    ("amount", "micro"),
    [
        pytest.param("3.67", 3_670_000, id="a text"),
        pytest.param(0.1, 100_000, id="a number, as it is written"),
        pytest.param(0, 0, id="nothing"),
        pytest.param("0.0000005", 0, id="half a millionth, to the even one"),
        pytest.param("0.0283333333", 28_333, id="to the nearest millionth"),
    ],
)
def test_an_amount_is_whole_millionths(amount: str | float, micro: int) -> None:
    assert parse_amount(amount, most=10) == micro


@pytest.mark.parametrize("amount", ["-0.1", "10.1", "x", "", "inf", "nan", "1e400", "9" * 5000, True])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match=r"must be a number from 0 to 10, such as 3\.67"):
        parse_amount(amount, most=10)


@pytest.mark.parametrize(
    ("micro", "words"),
    [
        (0, "0.00 USD"),
        (1, "0.000001 USD"),
        (1_234, "0.00123 USD"),
        (852_445, "0.852 USD"),
        (1_000_000, "1.00 USD"),
        (1_234_567_890, "1,234.57 USD"),
    ],
)
def test_people_read_cents_or_three_digits(micro: int, words: str) -> None:
    assert format_amount(micro, "USD") == words
