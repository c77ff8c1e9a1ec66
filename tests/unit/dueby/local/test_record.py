"""A plan by windows in the record of a run: what begins and what is reserved, by time."""

from dataclasses import replace

from dueby.local.record import planned_windows
from dueby_api.grid import Share
from support.run_record import BY_WINDOWS, SECOND, START_US, assignment

WORKER = replace(assignment("w0", share=Share(first=0, end=10)), until_us=START_US + 9 * SECOND)


def test_workers_of_one_kind_are_one_window_and_come_before_what_is_reserved() -> None:
    other = replace(WORKER, until_us=START_US + 5 * SECOND, iterations=3)
    found = planned_windows([WORKER, other, WORKER], BY_WINDOWS.windows, now_us=START_US + SECOND)
    shown = [(each.from_seconds, each.to_seconds, each.count, each.mini_batch_size, each.images) for each in found]
    assert shown == [(0.0, 4.0, 1, 8, 32), (0.0, 8.0, 2, 8, 160), (19.0, 26.0, 3, 16, 96)]


def test_workers_that_may_keep_their_devices_have_no_windows() -> None:
    keeps = replace(WORKER, until_us=None)
    assert planned_windows([WORKER, keeps], BY_WINDOWS.windows, now_us=START_US) == ()
