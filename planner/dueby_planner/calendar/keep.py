"""What jobs were given before is the state of the calendar: it is kept as it is, and not improved.

A stored reservation is kept if the sizes that it was made with still exist, its devices are there as expected, and what
it does by the deadline is still accepted. A window that should have begun and was not started counts from now, or from
when its devices are expected to be free: whoever has them may be a little late.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dueby_planner.calendar.free_devices import Taken, without
from dueby_planner.calendar.jobs import CalendarJob, StoredWindow
from dueby_planner.calendar.place_job import ends_together
from dueby_planner.calendar.pool import Free
from dueby_planner.calendar.quotas import charged, least_within
from dueby_planner.calendar.reservation import Lane, Reservation, Window, done_by
from dueby_planner.model.capacity import DeviceChoice, capacity
from dueby_planner.model.problem import Problem


@dataclass(frozen=True)
class _Devices:
    """Devices that are given windows one after the other."""

    count: int
    windows: tuple[Window, ...] = ()

    @property
    def images(self) -> int:
        return sum(window.images for window in self.windows)

    def is_free(self, from_us: int) -> bool:
        return not self.windows or self.windows[-1].to_us <= from_us


def stored_reservation(job: CalendarJob, free: Free) -> Reservation | None:
    """Return what is stored for the job if it can be kept beside what has been taken from `free`; else None."""
    windows: defaultdict[str, list[tuple[Window, int]]] = defaultdict(list)
    left = dict(free)
    for stored in sorted((each for each in job.stored if each.to_us > 0), key=lambda each: each.from_us):
        missing = stored.count
        for name, window in _windows(job, stored, left):
            there = least_within(left, name, job.quotas, window.from_us, window.to_us)
            if count := min(missing, there):
                windows[name].append((window, count))
                for of_name, taken in charged(name, Taken(window.from_us, window.to_us, count), job.quotas):
                    left[of_name] = without(left[of_name], [taken])
                missing -= count
            if not missing:
                break
        else:
            return None
    # Which windows are of one device is not stored. As few devices as possible are best, but for spare ones.
    few = tuple(lane for name, of_name in windows.items() for lane in _lanes(name, of_name))
    many = tuple(
        Lane(device_class=lane.device_class, count=lane.count, windows=(window,))
        for lane in few
        for window in lane.windows
    )
    return next((reservation for reservation in (few, many) if _is_enough(job, reservation)), None)


def _windows(job: CalendarJob, stored: StoredWindow, left: Free) -> Iterator[tuple[str, Window]]:
    """Yield the window on each name of devices on which its size still exists.

    One that should have begun comes once more for each time at which some of them may come free.
    """
    choices = dict(_choices(job.problem, stored))
    for name, choice in choices.items():
        yield name, _window(job.problem, choice, max(0, stored.from_us), stored.to_us)
    if stored.from_us > 0:
        return
    for name, choice in choices.items():
        times = {step.from_us for of_name in (name, *job.quotas) for step in left.get(of_name, ())}
        for from_us in sorted(time_us for time_us in times if 0 < time_us < stored.to_us):
            yield name, _window(job.problem, choice, from_us, stored.to_us)


def _choices(problem: Problem, stored: StoredWindow) -> Iterator[tuple[str, DeviceChoice]]:
    """Yield the stored size on each name of devices on which it still exists."""
    for name in stored.devices:
        for choice in (choice for group in problem.groups if group.device_class == name for choice in group.choices):
            if (choice.engine, choice.mini_batch_size) == (stored.engine, stored.mini_batch_size):
                yield name, choice
                break


def _window(problem: Problem, choice: DeviceChoice, from_us: int, to_us: int) -> Window:
    images = capacity(choice, time_us=to_us - from_us, max_iterations=problem.max_iterations)
    return Window(from_us, to_us, choice, images)


def _lanes(name: str, windows: Sequence[tuple[Window, int]]) -> list[Lane]:
    """Return the windows by device. A device that has ended and has done the most goes on: levels are nested."""
    lanes: list[_Devices] = []
    for window, count in sorted(windows, key=lambda each: (each[0].from_us, -each[0].to_us)):
        while count:
            idle = [lane for lane in lanes if lane.is_free(window.from_us)]
            lane = max(idle, key=lambda each: each.images, default=_Devices(count))
            if lane in lanes:
                lanes.remove(lane)
            taken = min(count, lane.count)
            lanes.append(_Devices(taken, (*lane.windows, window)))
            if lane.count > taken:
                lanes.append(_Devices(lane.count - taken, lane.windows))
            count -= taken
    return [Lane(device_class=name, count=lane.count, windows=lane.windows) for lane in lanes]


def _is_enough(job: CalendarJob, reservation: Reservation) -> bool:
    """Return whether the devices are accepted at the deadline, and no more than the job may have."""
    problem = job.problem
    count = sum(lane.count for lane in reservation)
    for name in {lane.device_class for lane in reservation}:
        held = sum(lane.count for lane in reservation if lane.device_class == name)
        if held > sum(group.count for group in problem.groups if group.device_class == name):
            return False
    if job.stays and not ends_together(reservation):
        return False
    return 0 < count <= problem.most and job.rule_for_kept.accepts(
        done_by(reservation, problem, problem.time_us), count
    )
