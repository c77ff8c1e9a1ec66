"""Give back the device time that a job with `reserve` or `maxIterations` would hold without using it.

place.py gives all levels of a job but one their whole spans: it takes k levels only where k - 1 of them can't do the
images in all of the time. With two limits more levels are needed, but not for all of the time: the f largest levels do
not count (`reserve`), and a worker that has run M iterations does nothing more (`maxIterations`). The windows of such
jobs end when the job is done at its confidence, or when their workers have run M iterations if that is earlier. By then
the devices have done the same, so the rule accepts them, and the job ends no later.
"""

from dataclasses import replace

from dueby_planner.calendar.reservation import Lane, Reservation, Window, finish_at_confidence_us
from dueby_planner.model.capacity import capacity
from dueby_planner.model.problem import Problem, find_least


def shortened(reservation: Reservation, problem: Problem) -> Reservation:
    """Return the reservation without the time in which its devices have nothing to do."""
    if not problem.reserve and problem.max_iterations is None:
        return reservation
    end_us = finish_at_confidence_us(reservation, problem)
    lanes = (_lane_until(lane, end_us, problem.max_iterations) for lane in reservation)
    return tuple(lane for lane in lanes if lane.windows)


def _lane_until(lane: Lane, end_us: int, max_iterations: int | None) -> Lane:
    """Return the lane with those of its windows in which something is done by then."""
    windows = (_window_until(window, end_us, max_iterations) for window in lane.windows if window.from_us < end_us)
    return replace(lane, windows=tuple(window for window in windows if window.images))


def _window_until(window: Window, end_us: int, max_iterations: int | None) -> Window:
    """Return the window until then, or until its worker has run M iterations if that is earlier."""

    def images(length_us: int) -> int:
        return capacity(window.choice, time_us=length_us, max_iterations=max_iterations)

    length_us = min(window.to_us, end_us) - window.from_us
    done = images(length_us)
    if max_iterations is not None and done == (max_iterations + 1) * window.choice.mini_batch_size:
        length_us = find_least(lambda tried_us: images(tried_us) == done, 1, length_us)
    return window._replace(to_us=window.from_us + length_us, images=done)
