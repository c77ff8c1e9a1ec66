"""Which jobs can't be done even if their work could be divided at will and cost no starts between its pieces.

Jobs are poured into the time of devices, in the order of their deadlines, each as level as it can be: from where most
devices are left, but nowhere more than the job may hold. Where all jobs are there from the start, that finds room for
all of them whenever there is room. What is left never falls with time, so neither does it with the next job: the job
takes nothing up to one time, then all that is above a level, and from another time on as many devices as it may hold.
Where devices come and go, the search counts time in what all of them could do in it, and so sees devices that are
always there.

If a job finds too little, the jobs that keep it from the time it would need, those that keep these from theirs, and so
on, are together too many. The time that a job would need is all before it holds as many devices as it may.

This is a search in floats, among jobs that may use the same classes, or fewer. What it finds is proved in integers: the
jobs need more device time than there is for them. What each job takes at least (calendar_job.py) is held against all
devices, whoever has them now. What there is until the last deadline is counted exactly: at each moment the devices of
the classes that jobs with a later deadline may use, and no more than these jobs may hold together. There is no margin:
what is impossible here is so at every confidence.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

from dueby_planner.schedule.calendar_job import CalendarJob, by_deadline, deadline_order, needed_us
from dueby_planner.schedule.free_devices import Free, FreeDevices, always_free, combined, free_between


class Demand(NamedTuple):
    """What a job needs."""

    device_us: int
    until_us: int
    at_once: int
    """Devices that it may hold at once."""


class _Piece(NamedTuple):
    """Devices that are left in a time."""

    from_us: int
    to_us: int
    devices: float


class _Poured(NamedTuple):
    """What one job takes: nothing before `from_us`, and as many devices as it may hold after `full_us`."""

    from_us: int
    full_us: int


class Filling:
    """Demands that are poured into the time of so many devices; they ascend by deadline.

    What each leaves is kept for those that are asked about one more demand: only what comes after it is poured again.
    """

    def __init__(self, demands: Sequence[Demand], devices: int) -> None:
        self._demands = demands
        self._devices = devices
        self._pieces: list[list[_Piece]] = [[]]
        """What there is for each demand, as far as anybody has asked."""
        self._poured: list[_Poured] = []

    def find_overfull(self, more: Demand, place: int) -> set[int] | None:
        """Return the places of demands that are together too many, with `more` before the one that is at `place` now.

        None if there is room for all, or not even for those before it.
        """
        while len(self._poured) < place:
            pieces, poured_one, is_enough = self._pour(self._demands[len(self._poured)], self._pieces[-1])
            if not is_enough:
                return None
            self._pieces.append(pieces)
            self._poured.append(poured_one)
        pieces, poured = self._pieces[place], self._poured[:place]
        for demand in (more, *self._demands[place:]):
            pieces, poured_one, is_enough = self._pour(demand, pieces)
            poured.append(poured_one)
            if not is_enough:
                return _in_the_way(poured)
        return None

    def _pour(self, demand: Demand, pieces: list[_Piece]) -> tuple[list[_Piece], _Poured, bool]:
        """Return what is left, what the demand takes, and whether that is enough."""
        ends_us = pieces[-1].to_us if pieces else 0
        if ends_us < demand.until_us:
            pieces = [*pieces, _Piece(ends_us, demand.until_us, self._devices)]
        return _pour(demand, pieces)


def _pour(demand: Demand, pieces: Sequence[_Piece]) -> tuple[list[_Piece], _Poured, bool]:
    """Do so for a demand that ends with the last piece."""
    first = full = len(pieces)
    """The first piece of which it takes something, and the first of which it takes as much as it may."""
    missing, width, level = demand.device_us * (1 - 1e-9), 0, pieces[-1].devices
    while missing > 0:
        # Down to where the next piece is reached, or one has given as much as it may.
        reached = pieces[first - 1].devices if first else 0.0
        emptied = pieces[full - 1].devices - demand.at_once if full > first else 0.0
        below = max(0.0, reached, emptied)
        if missing <= (level - below) * width:
            level, missing = level - missing / width, 0.0
            break
        missing -= (level - below) * width
        level = below
        if not level:
            break
        if full > first and emptied == level:
            full -= 1
            width -= pieces[full].to_us - pieces[full].from_us
        else:
            first -= 1
            width += pieces[first].to_us - pieces[first].from_us
    until_us = pieces[-1].to_us
    from_us, full_us = (pieces[at].from_us if at < len(pieces) else until_us for at in (first, full))
    even = [_Piece(from_us, full_us, level)] if first < full else []
    above = [piece._replace(devices=piece.devices - demand.at_once) for piece in pieces[full:]]
    return [*pieces[:first], *even, *above], _Poured(from_us, full_us), missing <= 0


def _in_the_way(poured: Sequence[_Poured]) -> set[int]:
    """Return the last one, those that take some of the time that it would need, and so on."""
    last = len(poured) - 1
    in_the_way, until_us = {last}, poured[last].full_us
    for number in sorted(range(last), key=lambda number: poured[number].from_us):
        if poured[number].from_us < until_us:
            in_the_way.add(number)
            until_us = max(until_us, poured[number].full_us)
    return in_the_way


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Jobs that need more than there is."""

    jobs: tuple[CalendarJob, ...]
    """By deadline."""
    refused: CalendarJob
    """The one of them without which the others can be done."""
    until_us: int
    """The last deadline among them."""
    needed_us: int
    """Device time that they take at least."""
    available_us: int
    """Device time that there is for them."""


class Cuts:
    """What jobs need, and what there is for them: a search for cuts with one more job."""

    def __init__(self, jobs: Iterable[CalendarJob], whole: Free) -> None:
        """`jobs`: those that have devices or a place; `whole`: every device that there is, over time."""
        self._whole = whole
        self._needed: dict[str, int | None] = {}
        """By the name of the job."""
        self._jobs = [job for job in by_deadline(jobs) if self._needed_us(job) is not None]
        self._names = {job.device_names for job in self._jobs}
        self._fillings: dict[frozenset[str], tuple[list[CalendarJob], FreeDevices, Filling]] = {}
        """Those of the jobs that use no other devices than these, these over time, and what is left beside the jobs."""

    def find(self, refused: CalendarJob) -> Cut | None:
        """Return a cut with the refused job in it; None if none is found."""
        if self._needed_us(refused) is None:  # it is impossible whatever the others do
            return None
        for names in _wider(self._names | {refused.device_names}, refused.device_names):
            alike, devices, filling = self._filling(names)
            place = bisect_left(alike, deadline_order(refused), key=deadline_order)
            overfull = filling.find_overfull(self._demand(refused, devices), place)
            if overfull is None or place not in overfull:
                continue
            with_refused = [*alike[:place], refused, *alike[place:]]
            chosen = [with_refused[number] for number in sorted(overfull)]
            if self._is_proof(chosen, refused):
                return self._cut(chosen, refused)
        return None

    def _filling(self, names: frozenset[str]) -> tuple[list[CalendarJob], FreeDevices, Filling]:
        if names not in self._fillings:
            alike = [job for job in self._jobs if names.issuperset(job.device_names)]
            devices = _together(self._whole, names)
            most = max(step.free for step in devices)
            self._fillings[names] = alike, devices, Filling([self._demand(job, devices) for job in alike], most)
        return self._fillings[names]

    def _demand(self, job: CalendarJob, devices: FreeDevices) -> Demand:
        """Return what the job needs. Where devices come and go, time counts in what all of them could do in it."""
        until_us = job.problem.time_us
        if len(devices) > 1:
            until_us = max(1, _device_us(devices, 0, until_us) // max(step.free for step in devices))
        return Demand(self._needed_us(job) or 0, until_us, job.problem.most)

    def shortened(self, cut: Cut) -> Cut:
        """Leave out the jobs without which it is a cut as well, the smallest first; the refused one stays."""
        jobs, refused = list(cut.jobs), cut.refused
        for job in sorted((job for job in cut.jobs if job is not refused), key=lambda job: self._needed_us(job) or 0):
            without_job = [other for other in jobs if other is not job]
            if self._is_proof(without_job, refused):
                jobs = without_job
        return self._cut(jobs, refused)

    def _is_proof(self, jobs: Sequence[CalendarJob], refused: CalendarJob) -> bool:
        """Return whether the jobs can't all be done, and this is not so without the refused one: some may be late."""
        others = [job for job in jobs if job is not refused]
        return self._is_cut(jobs) and not (others and self._is_cut(others))

    def _is_cut(self, jobs: Sequence[CalendarJob]) -> bool:
        return self._total_us(jobs) > available_us(jobs, self._whole)

    def _cut(self, jobs: Sequence[CalendarJob], refused: CalendarJob) -> Cut:
        return Cut(
            jobs=tuple(jobs),
            refused=refused,
            until_us=jobs[-1].problem.time_us,
            needed_us=self._total_us(jobs),
            available_us=available_us(jobs, self._whole),
        )

    def _total_us(self, jobs: Iterable[CalendarJob]) -> int:
        return sum(self._needed_us(job) or 0 for job in jobs)

    def _needed_us(self, job: CalendarJob) -> int | None:
        if job.name not in self._needed:
            self._needed[job.name] = needed_us(job.problem, at_work=job.at_work, elsewhere=job.elsewhere)
        return self._needed[job.name]


def available_us(jobs: Sequence[CalendarJob], whole: Free) -> int:
    """Return the device time that these jobs can have together before their deadlines."""
    total, may_hold, devices = 0, 0, always_free(0)
    names: set[str] = set()
    latest_first = by_deadline(jobs)[::-1]
    begins_us = [max(0, job.problem.time_us) for job in latest_first[1:]] + [0]
    for job, from_us in zip(latest_first, begins_us, strict=True):
        may_hold += job.problem.most
        if new_names := job.device_names - names:
            devices = combined(devices, _together(whole, new_names), add)
            names |= new_names
        until_us = max(0, job.problem.time_us)
        if len(devices) == 1:  # most devices neither come nor go
            total += (until_us - from_us) * min(devices[0].free, may_hold)
        else:
            total += _device_us(devices, from_us, until_us, most=may_hold)
    return total


def _together(whole: Free, names: Iterable[str]) -> FreeDevices:
    """Return the devices of all these names over time."""
    return reduce(lambda devices, name: combined(devices, whole.get(name, ()), add), names, always_free(0))


def _device_us(devices: FreeDevices, from_us: int, to_us: int, *, most: int | None = None) -> int:
    """Return the device time between two times, of `most` devices at a time."""
    return sum(
        (min(step.to_us, to_us) - max(step.from_us, from_us)) * (step.free if most is None else min(step.free, most))
        for step in free_between(devices, from_us, to_us)
    )


def _wider(sets: Collection[frozenset[str]], least: frozenset[str]) -> Iterator[frozenset[str]]:
    """Yield the sets of names that have at least those in them, the smallest first; then the names of all sets."""
    own = [names for names in sets if names.issuperset(least)]
    yield from dict.fromkeys([*sorted(own, key=lambda names: (len(names), sorted(names))), frozenset().union(*sets)])
