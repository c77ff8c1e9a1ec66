"""Plan all jobs that are ready for workers together: who has which devices now, and who has them later. Pure.

    running, Hard and Soft            watched; where they will be late, helpers on idle devices that nobody is promised
    waiting, and running that lag     the planner's calendar: what was reserved is kept, others are placed beside it;
                                      windows that begin are started
    running, Relaxed and BestEffort   those give way whose devices are reserved; the others are watched
    in a queue                        the same within its quotas; workers are created that Kueue lets wait if others
                                      have the quota

What raises for one job is that job's fault, and the others are planned without it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from dueby_api.errors import Invalid
from dueby_api.inference_job import DeadlineClass
from dueby_api.units import MICROS_PER_SECOND
from dueby_operator.control.calendar.beside_others import BesideOthers
from dueby_operator.control.calendar.count import count_devices
from dueby_operator.control.calendar.entries import Entry
from dueby_operator.control.calendar.give_way import find_who_gives_way
from dueby_operator.control.calendar.hand_over import running_job, stop
from dueby_operator.control.calendar.holds import find_holds, find_leaving
from dueby_operator.control.calendar.ledger import Hold, Ledger, open_ledger
from dueby_operator.control.calendar.noise import place_beside_noise
from dueby_operator.control.calendar.place_all import Placed
from dueby_operator.control.calendar.place_now import by_class, decide_placed, keep_windows, on_nodes, spread, urgency
from dueby_operator.control.calendar.queue_up import Turns
from dueby_operator.control.calendar.reserved import (
    LeftAlone,
    keep_promised,
    taken_by_class,
    taken_by_placements,
    without_old_windows,
)
from dueby_operator.control.calendar.shares import find_refusal, with_shares
from dueby_operator.control.calendar.unused import find_unused
from dueby_operator.control.calendar.unwanted import find_in_time, find_unwanted
from dueby_operator.control.calendar.usable import Usables
from dueby_operator.control.calendar.windows import Room
from dueby_operator.control.chain import PolicyInput, refusal
from dueby_operator.control.policies.plan import plan, wait_for_devices
from dueby_operator.control.shared import Shared
from dueby_operator.control.work.build_model import build_model
from dueby_operator.control.work.decide import decide_workers
from dueby_operator.control.work.decision import Start, WorkDecision
from dueby_operator.model.fault import Fault
from dueby_operator.model.idle_devices import IdleDevices
from dueby_operator.model.job_model import JobModel, StartReason
from dueby_operator.model.job_snapshot import JobKey
from dueby_operator.model.stacks import Stacks
from dueby_planner.calendar.free_devices import Taken
from dueby_planner.calendar.jobs import CalendarJob
from dueby_planner.calendar.pool import CHANGE_US, CLASSES, PROMISED, YIELDING
from dueby_planner.calendar.reservation import Reservation
from dueby_planner.calendar.running import RunningJob


def plan_all(
    ready: Sequence[PolicyInput], shared: Shared, *, promised: Iterable[LeftAlone] = ()
) -> tuple[Mapping[JobKey, PolicyInput | Fault], Shared]:
    """Return each of these jobs as planning has left it, or its fault, and what is left of what they share.

    What is `promised` to jobs that fail here, or were left alone before, is kept for them.
    """
    planning = _Planning(ready, shared, promised)
    planning.plan()
    return planning.done, planning.shared


class _Planning:
    """All jobs of one pass, while they are planned."""

    def __init__(self, ready: Sequence[PolicyInput], shared: Shared, promised: Iterable[LeftAlone]) -> None:
        self.shared = shared
        self._promised = {job.key: job for job in promised}
        self.done: dict[JobKey, PolicyInput | Fault] = {}
        self._given = {given.job.key: given for given in ready}
        self._entries: dict[JobKey, Entry] = {}
        self._work: dict[JobKey, tuple[JobModel, WorkDecision]] = {}
        """What is decided, before it is carried out."""
        self._stacks = Stacks(all=())
        self._ledger = Ledger(stacks=self._stacks, free={}, expected={})
        self._own: dict[JobKey, list[Hold]] = {}
        """What each job's workers have, and what they will have."""
        self._beside: dict[DeadlineClass, Ledger] = {}
        """What is free for running jobs of each class: reserved devices of the classes above it are not."""
        self._usables = Usables(self._stacks)
        self._idle = IdleDevices(self._stacks)
        self._in_time: Mapping[str, frozenset[JobKey]] = {}
        """By stack, the jobs that wait for it, where all of them are in time."""
        self._turns = Turns(self._stacks, (), {})
        self._handing_over: Mapping[JobKey, Sequence[str]] = {}
        """Workers that stop now so that Hard jobs that have no place otherwise get their devices."""

    def plan(self) -> None:
        """Plan them."""
        for key, given in self._given.items():
            self._guarded(key, self._enter, given)
        self._open()
        for entry in self._running(*PROMISED):
            self._guarded(entry.key, self._watch, entry)
        placed = self._place()
        self._turns = Turns(self._stacks, self._holds, {key: each for key, (each, _) in placed.items()})
        reserved = {key: placement.reservation for key, (placement, _) in placed.items()}
        self._stop(self._handing_over, "GaveWay", {**dict.fromkeys(self._handing_over, ()), **reserved})
        self._decide(placed, *PROMISED)
        placements = {key: placement for key, (placement, _) in placed.items() if key not in self.done}
        self._stop(find_who_gives_way(placements, self._holds, self._stacks, self._handing_over), "GaveWay", reserved)
        self._stop(find_leaving(self._open_entries()), "NodeDrains", reserved)
        for kind in YIELDING:
            above = CLASSES[: CLASSES.index(kind)]
            taken = {key: found for key, found in placements.items() if found.job.deadline_class in above}
            self._beside[kind] = self._ledger.take(taken_by_placements(taken))
            for entry in self._running(kind):
                if entry.key not in self._work and entry.key not in placements:
                    self._guarded(entry.key, self._watch, entry)
            self._decide(placed, kind)
        for entry in self._open_entries():
            self._guarded(entry.key, self._carry_out, entry)
        self.shared = replace(self.shared, unused=find_unused(self.done, self._stacks, self._idle))

    def _stop(
        self, stopping: Mapping[JobKey, Sequence[str]], reason: StartReason, reserved: Mapping[JobKey, Reservation]
    ) -> None:
        for key, workers in stopping.items():
            entry, (_, before) = self._entries[key], self._work.get(key, (None, None))
            self._work[key] = entry.model, stop(entry, workers, reason, reserved.get(key), self._stacks, before=before)

    def _guarded(self, key: JobKey, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except Exception as error:  # whatever it is, it is this job's alone
            self._blame(key, error)

    def _blame(self, key: JobKey, error: Exception) -> None:
        """End the pass for this job, with what is wrong with it."""
        if isinstance(error, Invalid):
            self.done[key] = self._given[key].after(refusal(error))
        else:
            self.done[key] = Fault(stage="deciding", error=error)

    def _open_entries(self) -> list[Entry]:
        return [entry for key, entry in self._entries.items() if key not in self.done]

    def _running(self, *classes: DeadlineClass) -> list[Entry]:
        found = [entry for entry in self._open_entries() if entry.has_started and entry.deadline_class in classes]
        return sorted(found, key=lambda entry: (classes.index(entry.deadline_class), entry.time_us, entry.key))

    def _enter(self, given: PolicyInput) -> None:
        self._entries[given.job.key] = Entry(given=given, model=build_model(given))

    def _open(self) -> None:
        """Count what there is, and what is free beside the workers that run."""
        jobs: list[Entry | LeftAlone] = [*self._open_entries(), *self._left_alone()]
        counted = count_devices(self.shared.devices, jobs, blame=self._leave_out)
        self._stacks = with_shares(counted, jobs, self.shared.promises)
        self._usables, self._idle = Usables(self._stacks), IdleDevices(self._stacks)
        for entry in self._open_entries():
            self._guarded(entry.key, self._hold, entry)
        self._in_time = find_in_time(self._open_entries(), self._stacks)
        grace_us = self.shared.devices.worker_grace_s * MICROS_PER_SECOND
        beside_workers = open_ledger(self._stacks, self._holds, leave_us=grace_us + CHANGE_US)
        self._ledger = keep_promised(beside_workers, self._left_alone(), self._stacks)
        hard, soft = (taken_by_class(self._open_entries(), kind, self._stacks) for kind in PROMISED)
        self._beside = {"Hard": self._ledger.take(hard), "Soft": self._ledger.take([*hard, *soft])}

    def _leave_out(self, job: Entry | LeftAlone, error: Exception) -> None:
        if isinstance(job, Entry):
            self._blame(job.key, error)
        else:
            del self._promised[job.key]

    def _left_alone(self) -> list[LeftAlone]:
        """Return the jobs of which no windows are decided on, and to which something is promised."""
        decided = {entry.key for entry in self._open_entries() if entry.has_profiles}
        return [job for key, job in self._promised.items() if key not in decided]

    def _hold(self, entry: Entry) -> None:
        """Find what the job's workers have, and what is reserved for it."""
        if entry.windows and self._usables.are_there(entry):
            reserved = self._usables.of(entry).reserved()
            entry = replace(entry, model=replace(entry.model, reserved=reserved))
            self._entries[entry.key] = entry
        self._own[entry.key] = find_holds(entry, self._stacks, self._idle)

    @property
    def _holds(self) -> list[Hold]:
        return [hold for own in self._own.values() for hold in own]

    def _watch(self, entry: Entry) -> None:
        """Decide on a running job with the idle devices that nobody is promised before it would be done with them."""
        horizon_us = max(1, entry.time_us)
        free = self._beside[entry.deadline_class].idle(entry.key, self._offered(entry), horizon_us)
        unwanted = find_unwanted(self._own[entry.key], free, self._in_time)
        model = replace(entry.with_more(by_class(free, self._stacks)), unwanted=unwanted)
        work = decide_workers(model)
        self._work[entry.key] = model, work
        if isinstance(work.action, Start):
            devices = spread(work.action.assignments, free, self._stacks)
            self._work[entry.key] = model, on_nodes(work, entry.key, devices, self._stacks)
            begun = self._stacks.charged(entry.key, devices)
            taken = [(name, Taken(0, horizon_us, count)) for name, count in begun.items()]
            self._ledger = self._ledger.take(taken)
            self._beside = {kind: ledger.take(taken) for kind, ledger in self._beside.items()}
            self._idle.take(entry.key, devices)

    def _offered(self, entry: Entry) -> dict[str, int]:
        """Return by stack on how many devices workers of the job could be started now."""
        names = [stack.name for stack in self._stacks.of(entry.key)]
        return self._idle.offered(entry.key, entry.could_have, names)

    def _place(self) -> Placed:
        """Place the jobs that wait and those that lag."""
        wanted: dict[JobKey, CalendarJob] = {}
        for entry in self._open_entries():
            self._guarded(entry.key, self._ask_for_place, entry, wanted)
        # Who is helped, or stops a worker, does so beside what is reserved for it.
        acting = [self._entries[key] for key, (_, work) in self._work.items() if work.action is not None]
        self._ledger = keep_promised(self._ledger, acting, self._stacks)
        found, noise = place_beside_noise(
            wanted, self._entries, self._ledger, running=self._running_jobs, blame=self._blame
        )
        self._handing_over, self.shared = found.handing_over, replace(self.shared, faults=found.faults)
        for key in noise:
            self._work[key] = self._entries[key].model, keep_windows(self._entries[key])
        self._ledger = keep_promised(self._ledger, [self._entries[key] for key in noise], self._stacks)
        return found.placed

    def _ask_for_place(self, entry: Entry, wanted: dict[JobKey, CalendarJob]) -> None:
        model = entry.model
        if not entry.could_use_devices or not self._usables.are_there(entry):
            return
        if model.alive and entry.deadline_class in YIELDING:  # it has what is idle, and takes it as it comes
            return
        _, work = self._work.get(entry.key, (model, WorkDecision()))
        lags = work.is_short or not model.alive or bool(entry.windows)
        images, least = entry.to_place() if lags and work.action is None else (0, 0)
        if images > 0 and (usable := self._usables.of(entry)).for_more.groups:
            wanted[entry.key] = usable.job(images=images, least=least)
            if refuse := find_refusal(wanted[entry.key], entry, self._stacks):
                self._work[entry.key] = model, WorkDecision(action=refuse)
                del wanted[entry.key]

    def _running_jobs(self) -> Mapping[JobKey, RunningJob]:
        """Return the Hard jobs that run and have something left to do."""
        found: dict[JobKey, RunningJob] = {}
        for entry in self._running("Hard"):
            self._guarded(entry.key, self._enter_running, entry, found)
        return found

    def _enter_running(self, entry: Entry, found: dict[JobKey, RunningJob]) -> None:
        if entry.model.images_left and self._usables.are_there(entry):
            _, work = self._work.get(entry.key, (entry.model, WorkDecision()))
            is_well = work.action is None and not work.is_short
            own = self._own[entry.key]
            found[entry.key] = running_job(self._usables.of(entry), own, may_hand_over=is_well)

    def _decide(self, placed: Placed, *classes: DeadlineClass) -> None:
        """Decide what begins now of the jobs of these classes."""
        of_class = {
            key: found
            for key, (found, _) in placed.items()
            if found.job.deadline_class in classes and key not in self._handing_over
        }
        # What is kept for nobody is left to those that are promised something.
        counting = PROMISED if classes == PROMISED else CLASSES
        given = {key: found for key, (found, _) in placed.items() if found.job.deadline_class in counting}
        beside = BesideOthers(self._ledger, given)
        for key in sorted(of_class, key=lambda key: urgency(of_class[key])):
            entry = self._entries[key]
            self._guarded(entry.key, self._decide_one, entry, placed, beside)

    def _decide_one(self, entry: Entry, placed: Placed, beside: BesideOthers) -> None:
        placement, calendar = placed[entry.key]
        if work := self._turns.queue_up(self._usables.of(entry), placement):
            self._work[entry.key] = entry.model, work
            return
        room = Room(key=entry.key, stacks=self._stacks, beside=beside, idle=self._offered(entry))
        found = decide_placed(self._usables.of(entry), placement, calendar, room)
        self._idle.take(entry.key, found.begun)
        self._work[entry.key] = entry.model, found.work

    def _carry_out(self, entry: Entry) -> None:
        """Turn what was decided about a job into what is done about it."""
        given = replace(entry.given, shared=self.shared)
        if entry.key in self._work:
            outcome = plan(given, *self._work[entry.key])
        elif entry.waits_for_devices:
            outcome = wait_for_devices(given, entry.model)
        else:
            outcome = plan(given, entry.model, decide_workers(entry.model))
        after = given.after(outcome)
        if entry.has_profiles:
            after = without_old_windows(after, self._work[entry.key][1] if entry.key in self._work else None)
        self.shared = after.shared
        self.done[entry.key] = after
