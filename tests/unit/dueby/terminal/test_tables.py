"""Tables at the widths of terminals: every word is there, and no line is longer than the terminal is wide."""

import io

import pytest
from rich.console import Console

from dueby.terminal.tables import Column, fitted_table

LONG = "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"


def columns(name: str = LONG) -> list[Column]:
    return [
        Column(heading="CLASS", cells=[name, "cpu-1"], is_text=True),
        Column(heading="ENGINE", cells=["cudagraph", "openvino"], is_text=True, expendable=2),
        Column(heading="IMAGES EACH", cells=["1,000", "12"]),
        Column(heading="S + W", cells=["900ms", "1s"]),
        Column(heading="STEP", cells=["1,234.5 ms", "14.0 ms"], expendable=1),
    ]


def lines(width: int, name: str = LONG) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(fitted_table(columns(name), width=width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_table_that_fits_is_one_line_for_each_row() -> None:
    assert lines(120) == [
        "CLASS                             ENGINE     IMAGES EACH  S + W        STEP",
        "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb  cudagraph        1,000  900ms  1,234.5 ms",
        "cpu-1                             openvino            12     1s     14.0 ms",
    ]


def test_a_little_too_wide_the_headings_are_broken_between_words_and_the_gaps_narrowed() -> None:
    assert [line.split() for line in lines(72)[:2]] == [["IMAGES"], ["CLASS", "ENGINE", "EACH", "S", "+", "W", "STEP"]]
    assert lines(66)[2] == "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb cudagraph  1,000 900ms 1,234.5 ms"


def test_wider_yet_the_columns_that_can_be_missed_go_in_their_order() -> None:
    assert "STEP" not in " ".join(lines(64))
    assert "cudagraph" in " ".join(lines(64))
    assert "cudagraph" not in " ".join(lines(48))


def test_at_last_the_name_is_broken_at_hyphens() -> None:
    assert [line.split()[0] for line in lines(32)[2:]] == ["NVIDIA-A100-SXM4-", "40GB-MIG-1g.5gb", "cpu-1"]


@pytest.mark.parametrize("width", range(24, 130))
def test_no_word_is_cut_at_any_width(width: int) -> None:
    found = lines(width)
    assert max(map(len, found)) <= width
    assert "…" not in "".join(found)
    for cell in (*LONG.split("-"), "900ms", "1,000"):
        assert cell in " ".join(found)


def test_what_looks_like_markup_is_shown_as_it_is() -> None:
    assert lines(120, name="[red]gpu[/red]")[1].startswith("[red]gpu[/red]  ")
