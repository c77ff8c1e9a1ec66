"""The live view of several jobs, as a terminal of some width shows it."""

import io

import pytest
from rich.console import Console

from dueby.runs.run_view import JobsView, JobView, RunView, WorkerView
from dueby.runs.screen import Screen

SECOND = 1_000_000
WORKER = WorkerView(name="w0", device_class="cpu-1", engine="openvino", mini_batch_size=64, state="running")


def run(done: int, *, rate: float = 0.0, finish_s: int | None = None, workers: int = 0, waits: str = "") -> RunView:
    return RunView(
        images=2_400,
        images_done=done,
        failed=0,
        images_per_second=rate,
        now_us=0,
        deadline_us=90 * SECOND,
        expected_finish_us=None if finish_s is None else finish_s * SECOND,
        waits=waits,
        workers=[WORKER] * workers,
    )


CATALOG = JobView(name="catalog", state="Running", waits_for="", run=run(1_234, rate=164.6, finish_s=12, workers=2))
NIGHTLY = JobView(name="nightly", state="Scheduled", waits_for="Starts at 02:14, ends at 03:40.", run=run(0))
VIEW = JobsView(jobs=[CATALOG, NIGHTLY])


def drawn(view: JobsView, *, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, height=24, force_terminal=True, color_system=None).print(view)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_at_80_columns_each_job_has_a_line_and_what_it_waits_for() -> None:
    assert drawn(VIEW, width=80) == [
        "JOB      STATE      WORKERS  DONE             IMAGES  IMAGES/S  FINISH  DEADLINE",
        "catalog  Running          2  ━━━━━       1,234/2,400       165  in 12s  in 1m30s",
        "nightly  Scheduled        0                  0/2,400         0          in 1m30s",
        "nightly: Scheduled: Starts at 02:14, ends at 03:40.",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("name", ["a", "catalog-of-2026-with-a-long-name"])
def test_no_line_is_longer_than_the_terminal_and_no_word_is_cut(width: int, name: str) -> None:
    job = JobView(name=name, state="Running", waits_for="", run=CATALOG.run)
    found = drawn(JobsView(jobs=[job]), width=width)
    assert max(map(len, found)) <= width
    assert "…" not in "".join(found)


def test_a_store_that_is_waited_for_is_told_with_the_jobs_name() -> None:
    job = JobView(name="full", state="Running", waits_for="", run=run(8, workers=1, waits="The sink is full."))
    assert drawn(JobsView(jobs=[job]), width=80)[-1] == "full: The sink is full."


def test_in_a_log_each_job_has_a_line() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, width=80), is_of_one=False) as screen:
        screen.draw(VIEW)
    assert out.getvalue().splitlines() == [
        "  catalog: 1,234/2,400 images, 165 images/s; expected to finish in 12s, deadline in 1m30s: slack 1m18s",
        "  nightly: Scheduled: Starts at 02:14, ends at 03:40.",
    ]
