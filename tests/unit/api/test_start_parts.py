"""The parts of a start-up: means over workers that know them, in the order of time, and in words."""

import pytest

from dueby_api.start_parts import START_PARTS, WORDS, mean_parts, start_words


@pytest.mark.parametrize(
    ("workers", "parts"),
    [
        pytest.param([], {}, id="no worker"),
        pytest.param([{}, {}], {}, id="workers that say nothing"),
        pytest.param([{"load": 3}, {"load": 6}, {}], {"load": 4}, id="the mean over those that know it"),
        pytest.param([{"lunch": 3, "pull": 1}], {"pull": 1}, id="a part that nobody has heard of"),
    ],
)
def test_parts_are_averaged(workers: list[dict[str, int]], parts: dict[str, int]) -> None:
    assert mean_parts(workers) == parts


def test_parts_are_told_in_the_order_of_time() -> None:
    parts = mean_parts([dict.fromkeys(reversed(START_PARTS), 1_500_000)])
    assert list(parts) == list(START_PARTS)
    assert start_words(parts) == ", ".join(f"{WORDS[part]} 1.5s" for part in START_PARTS)
    assert start_words({"load": 2_300_000, "import": 900_000}) == "process and imports 900ms, network and engine 2.3s"
