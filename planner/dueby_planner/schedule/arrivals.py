"""Hard and Soft jobs: what they were given before is kept, and the new ones get their place.

    promised  Hard jobs, by deadline: beside all workers; where BestEffort workers give way; where Relaxed ones do;
              where Soft ones do, and what Soft jobs have reserved is placed again; with all Hard jobs placed again; one
              that still has no place where running Hard jobs hand devices over (hand_over.py); with no more images than
              their old windows had to do, and then all who share devices with them so; those that will be a little
              late: as soon as possible beside all in time, and where others took what was their own, these move
    new       Hard and Soft ones together beside all workers, by deadline, if all Hard ones fit so; else the Hard ones
              as above; then the Soft ones beside them, or in front of Hard ones that can wait (draft.py)

Those that then have no place stay without one here. No step breaks the promise of a Hard job. Of one that goes on, more
images are placed than its windows have to do to be kept, lest noise moves it again; where that doesn't fit, it needs no
more than these. Who will be a little late by one reading of its workers may be in time by the next one, so nobody new
gets its time.

What jobs were given before is the state of the calendar: it is kept as it is, and not improved, but for windows on
fallback devices, which are put off as far as they may be.

A stored reservation is kept if the sizes that it was made with still exist, its devices are there as expected, and what
it does by the deadline is still accepted. A window that should have begun and was not started counts from now, or from
when its devices are expected to be free: whoever has them may be a little late.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import ceil

from dueby_api.inference_job import DeadlineClass
from dueby_planner.model.capacity import DeviceChoice, capacity
from dueby_planner.model.problem import Problem
from dueby_planner.schedule.calendar_job import CalendarJob, Placement, StoredWindow, by_deadline, with_images
from dueby_planner.schedule.draft import GIVING_WAY, MAX_TRIED, Draft, place_in_front
from dueby_planner.schedule.free_devices import PROMISED, CalendarPool, Free, Taken, least_free, less
from dueby_planner.schedule.hand_over import RunningJob, hand_over
from dueby_planner.schedule.place_job import (
    DeviceTime,
    can_be_done,
    ends_together,
    place_set,
    reserve_soon,
    time_alone_us,
)
from dueby_planner.schedule.reservation import (
    Lane,
    Reservation,
    Tables,
    Window,
    charged,
    claims_of,
    device_us,
    devices_in,
    done_by,
    least_within,
)

# Readings of workers differ by some hundredths. A job is little late if it can do this part of its images in time.
_MOST = 0.9


def keep_stored(jobs: Sequence[CalendarJob], pool: CalendarPool) -> Draft:
    """Return the reservations of Hard jobs, and then of Soft ones, that can be kept as they are."""
    draft, expected = Draft(pool), Tables(pool.expected)
    for kind in PROMISED:
        for job in by_deadline(jobs, kind):
            if job.stored and (reservation := stored_reservation(job, expected.left(kind))):
                expected.take(claims_of(reservation, job.limits))
                draft.add(Placement(job=job, reservation=reservation, beside=kind, kept=True))
    return draft


def place_arrivals(jobs: Sequence[CalendarJob], draft: Draft, running: Sequence[RunningJob] = ()) -> Draft:
    """Return the calendar with those of the Hard and Soft jobs that can be in time as well, or nearly."""
    if promised := [job for job in _without_place(jobs, draft, "Hard") if job.goes_on]:
        draft = _place_promised(promised, draft, running)
        # Those that have a place for fewer images than they should have.
        whole = {job.name: job.problem.images for job in jobs}
        draft.keep([name for name, each in draft.placed.items() if each.job.problem.images < whole.get(name, 0)])
    hard, soft = _without_place(jobs, draft, "Hard"), _without_place(jobs, draft, "Soft")
    all_fit = bool(soft) and _add(draft, [*hard, *soft], "BestEffort", optional=soft)
    if not all_fit:
        _add(draft, hard, "BestEffort", optional=hard)
        draft = _make_room(hard, draft, running)
    late = [job for job in _without_place(jobs, draft, "Soft") if not draft.place(job, *GIVING_WAY)]
    for job in late[:MAX_TRIED]:
        draft = place_in_front(job, draft, partial(_place_soft, job)) or draft
    return draft


def _place_soft(job: CalendarJob, draft: Draft) -> bool:
    return draft.place(job, *GIVING_WAY)


def _place_promised(promised: Sequence[CalendarJob], draft: Draft, running: Sequence[RunningJob]) -> Draft:
    """Return the calendar with those of the promised Hard jobs that can be in time, or nearly."""
    _add(draft, promised, "BestEffort", optional=promised)
    draft = _make_room(promised, draft, running)
    draft = _place_hard(draft, map(_at_least, _without_place(promised, draft, "Hard")))
    if missing := _without_place(promised, draft, "Hard"):
        # As many of them as possible, if others spare no image.
        names = frozenset[str]().union(*(job.device_names for job in missing))
        others = [_at_least(job) if names & job.device_names else job for job in (each.job for each in draft.hard)]
        draft = _place_all_again(draft, others, [_at_least(job) for job in missing]) or draft
        draft = _place_late(_without_place(missing, draft, "Hard"), draft)
    return draft


def _place_late(late: Sequence[CalendarJob], draft: Draft) -> Draft:
    """Return the calendar with those of the promised Hard jobs that will be a little late.

    Each has room first for most of its images in time. If there is none beside the others, these move.
    """
    most = [_most_of(job) for job in late]
    _add(draft, most, "Hard", optional=most)
    others = [placed.job for placed in draft.hard]
    draft = _place_all_again(draft, others, [job for job in most if job.name not in draft.placed]) or draft
    for job in late:
        draft = draft.without(job.name)
        free = draft.left("Hard")
        # It is little late if it can do most of the images that it has to do by its deadline.
        is_little_late = can_be_done(_most_of(job), free, job.problem.time_us)
        if is_little_late and (reservation := reserve_soon(job, free)):
            draft.add(Placement(job=job, reservation=reservation, beside="Hard"))
            draft.keep([job.name])
    return draft


def _make_room(hard: Sequence[CalendarJob], draft: Draft, running: Sequence[RunningJob]) -> Draft:
    """Return the calendar with those of the Hard jobs for which others give way or move, or hand devices over."""
    draft = _place_hard(draft, _without_place(hard, draft, "Hard"))
    # Once: what this leaves out has its turn in the next pass, and seldom gets a place then.
    if (again := _placed_again(draft, _without_place(hard, draft, "Hard"))) is not None:
        draft = _place_hard(again, _without_place(hard, again, "Hard"))  # it may have made room for others, too
    if draft.handing_over:
        return draft
    return hand_over(draft, _without_place(hard, draft, "Hard"), running) or draft


def put_off_fallbacks(draft: Draft) -> Draft:
    """Return the calendar with jobs placed again that would begin on fallback devices and need not do so yet.

    So are those that would begin later, although others of their devices are idle.
    """
    for placed in [each for each in draft.placed.values() if each.kept]:
        job, names = placed.job, placed.job.fallback_names
        if not names.intersection(lane.group for lane in placed.reservation):
            continue
        left = draft.left(GIVING_WAY[-1])
        if placed.begins_soon or any(least_free(left.get(name, ()), 0, 1) for name in job.device_names - names):
            again = draft.without(job.name)
            if again.place(job, *GIVING_WAY) and again.placed[job.name].begins_soon != placed.begins_soon:
                draft = again
    return draft


def _at_least(job: CalendarJob) -> CalendarJob:
    """Return the job with no more images than what is stored has to do to be kept."""
    return job if job.least_images is None else with_images(job, job.least_images)


def _most_of(job: CalendarJob) -> CalendarJob:
    """Return the job with most of the images that it has to do."""
    least = _at_least(job)
    return with_images(least, ceil(least.problem.images * _MOST))


def _place_all_again(draft: Draft, placed: Sequence[CalendarJob], new: Sequence[CalendarJob]) -> Draft | None:
    """Place these Hard jobs again, and as many of the new ones as possible, and nothing else; None if it is none."""
    if not new:
        return None
    names = {job.name for job in new}
    change_us, at_least = draft.pool.change_us, len(placed) + 1
    placements = place_set([*placed, *new], draft.free, change_us=change_us, optional=names, at_least=at_least)
    return draft.only(placements) if placements else None


def _place_hard(draft: Draft, jobs: Iterable[CalendarJob]) -> Draft:
    """Place what fits on the first table on which it does; on the last one Soft workers and reservations give way."""
    alone = draft.only(draft.hard)
    for job in jobs:
        if draft.place(job, *GIVING_WAY):
            alone.add(draft.placed[job.name])
        elif alone.place(job, "Hard"):
            draft = alone.only(alone.hard)
    return draft


def _without_place(jobs: Iterable[CalendarJob], draft: Draft, kind: DeadlineClass) -> list[CalendarJob]:
    return [job for job in by_deadline(jobs, kind) if job.name not in draft.placed and not _is_impossible(job)]


def _is_impossible(job: CalendarJob) -> bool:
    """Return whether a new Hard job has too few devices that may run too few mini-batches: it is refused.

    In two windows a device would run up to M each, and the job would have a place only because devices change hands.
    """
    is_new = job.deadline_class == "Hard" and not job.goes_on
    return is_new and job.problem.max_iterations is not None and job.problem.fewest() is None


def _add(draft: Draft, jobs: Sequence[CalendarJob], beside: DeadlineClass, *, optional: Sequence[CalendarJob]) -> bool:
    """Give the jobs places beside workers of this class and those above; return False if there are none.

    Those that are optional are left out where they have none.
    """
    names, change_us = {job.name for job in optional}, draft.pool.change_us
    placements = place_set(jobs, draft.left(beside), beside=beside, change_us=change_us, optional=names)
    for placement in placements or ():
        draft.add(placement)
    return placements is not None


def _placed_again(draft: Draft, new: Sequence[CalendarJob]) -> Draft | None:
    """Place all Hard jobs that don't run, and as many of the new ones as possible, and nothing else."""
    promised = draft.hard
    time = DeviceTime(((placed.job, device_us(placed.reservation)) for placed in promised), draft.free)
    candidates = [job for job in new if time_alone_us(job) <= time.left_us(job.problem.time_us, job.device_names)]
    return _place_all_again(draft, [placed.job for placed in promised], candidates)


def stored_reservation(job: CalendarJob, free: Free) -> Reservation | None:
    """Return what is stored for the job if it can be kept beside what has been taken from `free`; else None."""
    windows: defaultdict[str, list[tuple[Window, int]]] = defaultdict(list)
    left = free
    for stored in sorted((each for each in job.stored if each.to_us > 0), key=lambda each: each.from_us):
        missing = stored.count
        for name, window in _windows(job, stored, left):
            there = least_within(left, name, job.limits, window.from_us, window.to_us)
            if count := min(missing, there):
                windows[name].append((window, count))
                left = less(left, charged(name, Taken(window.from_us, window.to_us, count), job.limits))
                missing -= count
            if not missing:
                break
        else:
            return None
    # Which windows are of one device is not stored. As few devices as possible are best, but for spare ones.
    few = tuple(lane for name, of_name in windows.items() for lane in _lanes(name, of_name))
    many = tuple(Lane(group=lane.group, count=lane.count, windows=(window,)) for lane in few for window in lane.windows)
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
        times = {step.from_us for of_name in (name, *job.limits) for step in left.get(of_name, ())}
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
    lanes: list[Lane] = []
    for window, count in sorted(windows, key=lambda each: (each[0].from_us, -each[0].to_us)):
        while count:
            ended = [lane for lane in lanes if lane.windows[-1].to_us <= window.from_us]
            lane = max(
                ended,
                key=lambda each: sum(window.images for window in each.windows),
                default=Lane(group=name, count=count, windows=()),
            )
            if ended:
                lanes.remove(lane)
            taken = min(count, lane.count)
            lanes.append(replace(lane, count=taken, windows=(*lane.windows, window)))
            if lane.count > taken:
                lanes.append(replace(lane, count=lane.count - taken))
            count -= taken
    return lanes


def _is_enough(job: CalendarJob, reservation: Reservation) -> bool:
    """Return whether the devices are accepted at the deadline, and no more than the job may have."""
    problem = job.problem
    count = devices_in(reservation)
    for name in {lane.group for lane in reservation}:
        held = sum(lane.count for lane in reservation if lane.group == name)
        if held > sum(group.count for group in problem.groups if group.device_class == name):
            return False
    if job.stays and not ends_together(reservation):
        return False
    rule = job.rule_for_kept(reservation)
    done = done_by(reservation, problem.time_us, problem.max_iterations, again=rule.again)
    return 0 < count <= problem.most and rule.accepts(done, count)
