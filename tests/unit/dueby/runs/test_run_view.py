"""The live view of `dueby run`, as a terminal of some width shows it."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from dueby.runs.run_view import RunView, WorkerView
from dueby.runs.screen import LINE_EVERY_S, Screen

SECOND = 1_000_000
WORKER = WorkerView(
    name="w0",
    device_class="cpu-1",
    engine="openvino",
    mini_batch_size=64,
    state="running",
    share_done=0.5,
    images=1_234,
    images_per_second=164.6,
    step_us=1_042_400,
)
VIEW = RunView(
    images=2_400,
    images_done=1_234,
    failed=1,
    images_per_second=164.6,
    now_us=0,
    deadline_us=20 * SECOND,
    expected_finish_us=12 * SECOND,
    waits="",
    workers=[WORKER, replace(WORKER, name="w1", state="starting", images=0, images_per_second=0.4, step_us=None)],
)
DONE = replace(VIEW, images_done=2_400, now_us=15 * SECOND, expected_finish_us=None)
GPU = replace(WORKER, device_class="NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", engine="cudagraph", mini_batch_size=256)


def drawn(view: RunView, *, width: int = 80, height: int = 24) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, height=height, force_terminal=True, color_system=None).print(view)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_at_80_columns_every_line_and_every_heading_is_whole() -> None:
    assert drawn(VIEW) == [
        "1,234/2,400 images, 1 unreadable, 165 images/s",
        "━" * 30 + "╸",
        "expected to finish in 12s, deadline in 20s: slack 8.0s",
        "",
        "WORKER  CLASS  ENGINE        STATE     SHARE       IMAGES  IMAGES/S        STEP",
        "w0      cpu-1  openvino x64  running   ━━━━━        1,234       165  1,042.4 ms",
        "w1      cpu-1  openvino x64  starting  ━━━━━            0       0.4",
    ]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("worker", [WORKER, GPU], ids=["a slice", "a GPU with a long name"])
def test_no_line_is_longer_than_the_terminal_and_no_word_is_cut(width: int, worker: WorkerView) -> None:
    found = drawn(replace(VIEW, workers=[worker]), width=width)
    assert max(map(len, found)) <= width
    assert "…" not in "".join(found)
    text = " ".join(" ".join(found).split())
    assert "expected to finish in 12s, deadline in 20s: slack 8.0s" in text
    assert "WORKER" in text
    assert text.count("1,234") == 2  # of all, and of the worker


def test_the_bar_is_as_wide_as_a_narrow_terminal() -> None:
    assert drawn(DONE, width=40)[1] == "━" * 40
    assert drawn(DONE, width=200)[1] == "━" * 60


@pytest.mark.parametrize(
    ("changes", "forecast"),
    [
        ({"expected_finish_us": None}, "deadline in 20s"),
        ({"expected_finish_us": 25 * SECOND}, "expected to finish in 25s, deadline in 20s: late by 5.0s"),
        ({"now_us": 30 * SECOND, "expected_finish_us": None}, "deadline 10s ago"),
        (
            {"now_us": 30 * SECOND, "expected_finish_us": 40 * SECOND},
            "expected to finish in 10s, deadline 10s ago: late by 20s",
        ),
        ({"images_done": 2_400}, "all images are done, 20s before the deadline"),
        ({"images_done": 2_400, "now_us": 21 * SECOND}, "all images are done, 1.0s after the deadline"),
    ],
)
def test_the_forecast_is_a_sentence_before_and_after_the_deadline(
    changes: dict[str, int | None], forecast: str
) -> None:
    assert drawn(replace(VIEW, **changes))[2] == forecast  # type: ignore[arg-type]  # the fields are of this type


def test_a_store_that_is_waited_for_is_told_in_full() -> None:
    waits = "2 of 2 workers can't write to s3://bucket/rows: the disk is full. Free space: the workers go on then."
    assert " ".join(drawn(replace(VIEW, waits=waits))[3:5]) == waits


def test_of_more_workers_than_lines_those_at_work_are_shown() -> None:
    gone = [replace(WORKER, name=f"w{number}", state="done", is_gone=True) for number in range(40)]
    alive = [replace(WORKER, name=f"w{number}") for number in range(40, 50)]
    found = drawn(replace(VIEW, workers=[*gone, *alive]), height=24)
    assert len(found) < 24
    assert {f"w{number}" for number in range(40, 50)} <= {line.split()[0] for line in found if line}
    assert found[-1] == "and 33 more"


def screen_on(out: io.StringIO, *, environment: dict[str, str], at_s: list[float]) -> Screen:
    console = Console(file=out, width=80, height=24, force_terminal=True, _environ=environment)
    return Screen(console, clock_s=lambda: at_s[0])


def test_on_a_terminal_the_last_state_stays() -> None:
    out = io.StringIO()
    with screen_on(out, environment={"TERM": "xterm"}, at_s=[0.0]) as screen:
        screen.draw(VIEW)
        screen.teller("catalog").say("worker w0 was lost")
        screen.draw(DONE)
    last = out.getvalue().rpartition("2,400/2,400 images")[2]
    assert "all images are done, 5.0s before the deadline" in last
    assert "w1" in last
    assert "worker w0 was lost" in out.getvalue()


def test_without_colours_there_are_none() -> None:
    out = io.StringIO()
    with screen_on(out, environment={"TERM": "xterm", "NO_COLOR": "1"}, at_s=[0.0]) as screen:
        screen.draw(replace(VIEW, waits="the sink is full"))
    colours = [f"\x1b[{number}m" for number in (*range(30, 38), *range(90, 98))]
    assert not [colour for colour in (*colours, "\x1b[38;") if colour in out.getvalue()]
    assert "the sink is full" in out.getvalue()


def test_on_a_terminal_that_cannot_redraw_there_is_a_line_now_and_then() -> None:
    out, at_s = io.StringIO(), [0.0]
    with screen_on(out, environment={"TERM": "dumb"}, at_s=at_s) as screen:
        for at_s[0] in (0.0, LINE_EVERY_S / 2, LINE_EVERY_S):
            screen.draw(replace(VIEW, images_done=int(at_s[0])))
    found = out.getvalue()
    assert "\x1b" not in found
    assert found.splitlines() == [
        "  0/2,400 images, 1 unreadable, 165 images/s; expected to finish in 12s, deadline in 20s: slack 8.0s",
        "  10/2,400 images, 1 unreadable, 165 images/s; expected to finish in 12s, deadline in 20s: slack 8.0s",
    ]
