"""Amounts of money: millionths in, words for people out."""

import pytest

from dueby_api.errors import Invalid
from dueby_api.prices import Money, format_amount, parse_amount, parse_money
from support.planner import job


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


@pytest.mark.parametrize(
    ("text", "money"),
    [
        pytest.param("12 USD", Money(12_000_000, "USD"), id="whole units"),
        pytest.param("0.5 EUR", Money(500_000, "EUR"), id="a part of one"),
        pytest.param(
            "999999999.000001 credits", Money(999_999_999_000_001, "credits"), id="the most, to the millionth"
        ),
        pytest.param("0 USD", Money(0, "USD"), id="nothing: only devices that cost nothing"),
    ],
)
def test_money_is_an_amount_with_its_currency(text: str, money: Money) -> None:
    assert parse_money(text) == money
    assert job(maxCost=text).spec.cost_limit == money


@pytest.mark.parametrize(
    "text", ["12", "USD", "12USD", "$12", "12 USD ", "12  USD", "-1 USD", "1.0000001 USD", "1e3 USD"]
)
def test_a_limit_without_an_amount_or_a_currency_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"spec\.maxCost: must be an amount and its currency, such as 12 USD"):
        job(maxCost=text)
