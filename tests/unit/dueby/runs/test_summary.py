"""The last lines of `dueby run`."""

import io
from typing import Any

from rich.console import Console

from dueby.runs.summary import print_summary
from dueby_api.run_record import Summary

SUMMARY: dict[str, Any] = {
    "job": "photos",
    "images": 2_400,
    "images_done": 2_400,
    "images_failed": 2,
    "actual_seconds": 26.0,
    "expected_seconds": 24.0,
    "deadline_seconds": 31.0,
    "verdict": "Succeeded",
}


def printed(*, sink: str = "rows", **changes: Any) -> list[str]:
    out = io.StringIO()
    print_summary(Summary(**SUMMARY | changes), sink, Console(file=out, width=80))
    return out.getvalue().splitlines()


def test_it_says_how_the_run_ended_beside_what_was_expected() -> None:
    *sentence, results, report = printed()
    said = "Succeeded: 2,400 of 2,400 images, 2 of them with an error, after 26s (expected 24s, deadline 31s)."
    assert "".join(sentence) == said
    assert (results, report) == ("Results: rows", "Report:  dueby report rows")


def test_it_says_how_many_rows_have_a_warning() -> None:
    sentence = "".join(printed(images_warned=3)[:-2])
    assert ", 2 of them with an error and 3 with a warning, after 26s (" in sentence


def test_it_says_what_the_workers_did_cost_if_there_are_prices() -> None:
    assert "Cost: 12.34 EUR." in printed(cost="12.34 EUR")
    assert not any(line.startswith("Cost") for line in printed())


def test_a_run_that_had_nothing_to_do_says_nothing_of_an_expectation() -> None:
    found = printed(expected_seconds=None, images_failed=0, actual_seconds=1.2)
    assert found[0] == "Succeeded: 2,400 of 2,400 images, after 1.2s (deadline 31s)."


def test_a_deadline_may_be_years_away() -> None:
    found = "".join(printed(deadline_seconds=97_579_644.034, actual_seconds=-0.5)[:-2])
    assert found.endswith(", after 0s (expected 24s, deadline 27105h27m).")


def test_it_says_how_long_the_workers_waited_for_images() -> None:
    assert not any("waited" in line for line in printed(input_wait=0.05))
    assert "The workers waited for images in 43% of their time." in printed(input_wait=0.43)
    said = " ".join(" ".join(printed(input_wait=0.43, observed_requests_per_second=339.6)).split())
    assert "of their time, whose store gave 340 requests a second and refused more." in said


def test_what_is_to_be_copied_is_in_one_line_and_quoted() -> None:
    sink = f"s3://bucket/{'a-long-prefix/' * 8}my rows"
    assert printed(sink=sink)[-2:] == [f"Results: {sink}", f"Report:  dueby report '{sink}'"]
