"""The proof that a set of jobs can't be done: they need more device time than there is for them.

What each job takes at least (needed.py) is held against all devices, whoever has them now. What there is until the last
deadline is counted exactly: at each moment the devices of the classes that jobs with a later deadline may use, and no
more than these jobs may hold together. All of it is integers, without any margin: what is impossible here is impossible
at every confidence.

Such jobs are sought among those that may use the same classes, or fewer.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dueby_planner.calendar.filling import Demand, Filling
from dueby_planner.calendar.jobs import CalendarJob, by_deadline, deadline_order
from dueby_planner.calendar.needed import needed_us


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Jobs that need more than there is."""

    jobs: tuple[CalendarJob, ...]
    """By deadline."""
    until_us: int
    """The last deadline among them."""
    needed_us: int
    """Device time that they take at least."""
    available_us: int
    """Device time that there is for them."""


class Cuts:
    """What jobs need, and what there is for them: a search for cuts with one more job."""

    def __init__(self, jobs: Iterable[CalendarJob], whole: Mapping[str, int]) -> None:
        """`jobs`: those that have devices or a place; `whole`: every device that there is, by name."""
        self._whole = whole
        self._needed: dict[str, int | None] = {}
        """By the name of the job."""
        self._jobs = [job for job in by_deadline(jobs) if self._needed_us(job) is not None]
        self._names = {job.device_names for job in self._jobs}
        self._fillings: dict[frozenset[str], tuple[list[CalendarJob], Filling]] = {}
        """Those of the jobs that use no other devices than these, and what is left beside them."""

    def find(self, refused: CalendarJob) -> Cut | None:
        """Return a cut with the refused job in it; None if none is found."""
        if self._needed_us(refused) is None:  # it is impossible whatever the others do
            return None
        for names in _wider(self._names | {refused.device_names}, refused.device_names):
            alike, filling = self._filling(names)
            place = bisect_left(alike, deadline_order(refused), key=deadline_order)
            found = filling.find_overfull(self._demand(refused), place)
            if found is None or place not in found:
                continue
            with_it = [*alike[:place], refused, *alike[place:]]
            chosen = [with_it[number] for number in sorted(found)]
            if self._is_proof(chosen, refused):
                return self._cut(chosen)
        return None

    def _filling(self, names: frozenset[str]) -> tuple[list[CalendarJob], Filling]:
        if names not in self._fillings:
            alike = [job for job in self._jobs if names.issuperset(job.device_names)]
            devices = sum(self._whole.get(name, 0) for name in names)
            self._fillings[names] = alike, Filling([self._demand(job) for job in alike], devices)
        return self._fillings[names]

    def _demand(self, job: CalendarJob) -> Demand:
        return Demand(self._needed_us(job) or 0, job.problem.time_us, job.problem.most)

    def shortened(self, cut: Cut, refused: CalendarJob) -> Cut:
        """Leave out the jobs without which it is a cut as well, the smallest first; the refused one stays."""
        jobs = list(cut.jobs)
        for job in sorted((job for job in cut.jobs if job is not refused), key=lambda job: self._needed_us(job) or 0):
            rest = [other for other in jobs if other is not job]
            if self._is_proof(rest, refused):
                jobs = rest
        return self._cut(jobs)

    def _is_proof(self, jobs: Sequence[CalendarJob], refused: CalendarJob) -> bool:
        """Return whether the jobs can't all be done, and this is not so without the refused one: some may be late."""
        others = [job for job in jobs if job is not refused]
        return self._is_cut(jobs) and not (others and self._is_cut(others))

    def _is_cut(self, jobs: Sequence[CalendarJob]) -> bool:
        return self._total_us(jobs) > available_us(jobs, self._whole)

    def _cut(self, jobs: Sequence[CalendarJob]) -> Cut:
        return Cut(
            jobs=tuple(jobs),
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


def available_us(jobs: Sequence[CalendarJob], whole: Mapping[str, int]) -> int:
    """Return the device time that these jobs can have together before their deadlines."""
    total, may_hold, there = 0, 0, 0
    names: set[str] = set()
    latest_first = by_deadline(jobs)[::-1]
    begins_us = [max(0, job.problem.time_us) for job in latest_first[1:]] + [0]
    for job, from_us in zip(latest_first, begins_us, strict=True):
        may_hold += job.problem.most
        there += sum(whole.get(name, 0) for name in job.device_names - names)
        names |= job.device_names
        total += (max(0, job.problem.time_us) - from_us) * min(there, may_hold)
    return total


def _wider(sets: Collection[frozenset[str]], least: frozenset[str]) -> Iterator[frozenset[str]]:
    """Yield the sets of names that have at least those in them, the smallest first; then the names of all sets."""
    own = [names for names in sets if names.issuperset(least)]
    yield from dict.fromkeys([*sorted(own, key=lambda names: (len(names), sorted(names))), frozenset().union(*sets)])
