"""schedule(request) -> reply: who has which devices now, and who has them later, for all jobs together.

    running, Hard and Soft            watched; where they will be late, helpers on idle devices that nobody is promised
    waiting, and running that lag     the planner's calendar: what was reserved is kept, others are placed beside it;
                                      windows that begin are started
    running, Relaxed and BestEffort   those give way whose devices are reserved; the others are watched
    in a queue                        the same within its quotas; workers are created that Kueue lets wait if others
                                      have the quota

What raises for one job is that job's fault, and the others are scheduled without it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from dueby_api.inference_job import DeadlineClass
from dueby_planner.model.budget import Expense, Use
from dueby_planner.model.problem import find_least
from dueby_planner.schedule.affordable import use_with
from dueby_planner.schedule.begin import (
    Candidate,
    Turns,
    decide_placed,
    keep_windows,
    on_nodes,
    spread,
    urgency,
    with_devices,
)
from dueby_planner.schedule.calendar_job import CalendarJob, Placement
from dueby_planner.schedule.devices import IdleDevices, less_absent
from dueby_planner.schedule.free_devices import CHANGE_US, CLASSES, PROMISED, YIELDING, CalendarPool, Taken
from dueby_planner.schedule.hand_over import RunningJob
from dueby_planner.schedule.held_devices import (
    FreeNow,
    HeldDevice,
    claims_of_all,
    find_holds,
    find_leaving,
    pool_beside,
)
from dueby_planner.schedule.job import JobKey, PromisedJob, ScheduledJob, StartReason
from dueby_planner.schedule.place_all import (
    Placements,
    Placing,
    find_refusal,
    keep_promised,
    place_beside_noise,
    taken_by_status,
)
from dueby_planner.schedule.request import Refuse, ScheduleReply, ScheduleRequest, Start, WorkDecision
from dueby_planner.schedule.reservation import Reservation
from dueby_planner.schedule.stops import Waiting, find_unwanted, find_waiting, find_who_gives_way, running_job, stop
from dueby_planner.schedule.stores import shares_store
from dueby_planner.schedule.usable import Usables
from dueby_planner.schedule.watch import decide_workers, images_to_place
from dueby_planner.schedule.within_budget import told_of_budget, with_room
from dueby_planner.schedule.within_cost import (
    affords_place,
    affords_start,
    use_of_place,
    use_of_work,
    wait_for_cheaper,
    within_cost,
)


def schedule(request: ScheduleRequest) -> ScheduleReply:
    """Return what to do now about each job: who starts and stops workers, what is reserved, who is refused or waits.

    Nothing is raised for a job's sake: what is wrong with one is in the reply, and the others don't notice.
    """
    scheduling = _Scheduling(request)
    scheduling.run()
    return ScheduleReply(
        decided={key: work for key, work in scheduling.work.items() if key not in scheduling.errors},
        errors=scheduling.errors,
        joint_errors=scheduling.joint_errors,
        idle={group.name: scheduling.idle.left(group.name) for group in request.devices.all},
    )


class _Scheduling:
    """All jobs of one request, while they are decided on."""

    def __init__(self, request: ScheduleRequest) -> None:
        self._groups = request.devices
        self._grace_us = request.grace_us
        self._promised = {job.key: job for job in request.promised}
        self._accounts = dict(request.accounts)
        """Budgets by namespace, and what is used of them by what is decided so far."""
        self._jobs = {job.key: with_room(job, self._accounts) for job in request.jobs}
        self.work: dict[JobKey, tuple[ScheduledJob, WorkDecision]] = {}
        self.errors: dict[JobKey, Exception] = {}
        self.joint_errors: tuple[Exception, ...] = ()
        self.idle = IdleDevices(self._groups)
        self._usables = Usables(self._groups)
        self._pool = CalendarPool(whole={}, free={}, expected={})
        """What is free beside the workers that run, and beside what is kept for jobs that are not placed."""
        self._own: dict[JobKey, list[HeldDevice]] = {}
        """What each job's workers have, and what they will have."""
        self._beside: dict[DeadlineClass, CalendarPool] = {}
        """What is free for running jobs of each class: reserved devices of the classes above it are not."""
        self._waiting = Waiting({}, {})
        self._turns = Turns(self._groups, (), {})
        self._handing_over: Mapping[JobKey, Sequence[str]] = {}
        """Workers that stop now so that Hard jobs that have no place otherwise get their devices."""

    def run(self) -> None:
        """Decide on them."""
        self._open()
        for job in self._running(*PROMISED):
            self._guarded(job.key, self._watch, job)
        placed = self._place()
        self._turns = Turns(self._groups, self._holds, {key: each for key, (each, _) in placed.items()})
        reserved = {key: placement.reservation for key, (placement, _) in placed.items()}
        self._stop(self._handing_over, "GaveWay", {**dict.fromkeys(self._handing_over, ()), **reserved})
        self._decide(placed, *PROMISED)
        placements = {key: placement for key, (placement, _) in placed.items() if key not in self.errors}
        self._stop(find_who_gives_way(placements, self._holds, self._groups, self._handing_over), "GaveWay", reserved)
        self._stop(find_leaving(self._open_jobs()), "NodeDrains", reserved)
        for kind in YIELDING:
            above = CLASSES[: CLASSES.index(kind)]
            taken = {key: found for key, found in placements.items() if found.job.deadline_class in above}
            self._beside[kind] = self._pool.less(claims_of_all(taken))
            for job in self._running(kind):
                if job.key not in self.work and job.key not in placements:
                    self._guarded(job.key, self._watch, job)
            self._decide(placed, kind)
        for job in self._open_jobs():
            if job.key not in self.work and not job.waits_for_devices:
                self._guarded(job.key, self._decide_alone, job)

    def _stop(
        self, stopping: Mapping[JobKey, Sequence[str]], reason: StartReason, reserved: Mapping[JobKey, Reservation]
    ) -> None:
        for key, workers in stopping.items():
            job, (_, before) = self._jobs[key], self.work.get(key, (None, None))
            self.work[key] = job, stop(job, workers, reason, reserved.get(key), self._groups, before=before)

    def _guarded(self, key: JobKey, step: Callable[..., None], *arguments: object) -> None:
        try:
            step(*arguments)
        except Exception as error:  # whatever it is, it is this job's alone
            self.errors[key] = error

    def _open_jobs(self) -> list[ScheduledJob]:
        return [job for key, job in self._jobs.items() if key not in self.errors]

    def _running(self, *classes: DeadlineClass) -> list[ScheduledJob]:
        found = [job for job in self._open_jobs() if job.has_started and job.deadline_class in classes]
        return sorted(found, key=lambda job: (classes.index(job.deadline_class), job.time_us, job.key))

    def _open(self) -> None:
        """Count what there is, and what is free beside the workers that run."""
        self._share_stores()
        for job in self._open_jobs():
            self._guarded(job.key, self._hold, job)
        self._waiting = find_waiting(self._open_jobs(), self._groups)
        beside_workers = pool_beside(self._groups, self._holds, leave_us=self._grace_us + CHANGE_US)
        self._pool = keep_promised(beside_workers, self._untouched(), self._groups)
        beside = self._pool
        for kind in PROMISED:
            own = [job for job in self._open_jobs() if job.deadline_class == kind]
            beside = beside.less(claim for job in own for claim in taken_by_status(job, self._groups))
            self._beside[kind] = beside

    def _share_stores(self) -> None:
        """Bound what jobs that read one store take of it together."""
        sharing: list[ScheduledJob] = []
        for job in self._open_jobs():
            if shares_store(job.feed):
                self._guarded(job.key, self._share, job, sharing)
        if sharing:
            self._groups = self._usables.with_stores(sharing, self._untouched())
            self.idle = IdleDevices(self._groups)

    def _share(self, job: ScheduledJob, sharing: list[ScheduledJob]) -> None:
        if self._usables.are_there(job):
            self._usables.of(job)
            sharing.append(job)

    def _untouched(self) -> list[PromisedJob]:
        """Return the jobs of which no windows are decided on, and to which something is promised."""
        decided = {job.key for job in self._open_jobs() if job.has_profiles}
        return [job for key, job in self._promised.items() if key not in decided]

    def _hold(self, job: ScheduledJob) -> None:
        """Find what the job's workers have, and what is reserved for it."""
        if job.windows and self._usables.are_there(job):
            job = replace(job, reserved=self._usables.of(job).reserved())
            self._jobs[job.key] = job
        self._own[job.key] = find_holds(job, self._groups, self.idle)
        if losses := self._groups.losses_among(hold.group for hold in self._own[job.key] if hold.group):
            self._jobs[job.key] = replace(job, losses=losses)

    @property
    def _holds(self) -> list[HeldDevice]:
        return [hold for own in self._own.values() for hold in own]

    def _watch(self, job: ScheduledJob) -> None:
        """Decide on a running job with the idle devices that nobody is promised before it would be done with them.

        Of a late one, they are those that nobody is promised before it could give them back.
        """
        least_us = self._usables.of(job).least_stay_us if self._usables.are_there(job) else 1
        horizon_us = max(least_us, job.time_us)
        now = FreeNow(self._groups, self._beside[job.deadline_class])
        free = now.devices(job.key, self._offered(job), horizon_us)
        fallbacks = self._groups.fallbacks(job)
        unwanted = find_unwanted(self._own[job.key], free, self._waiting, self._groups, fallbacks=fallbacks)
        on_fallbacks = frozenset(hold.worker for hold in self._own[job.key] if hold.group in fallbacks)
        job = replace(with_room(job, self._accounts), unwanted=unwanted, on_fallbacks=on_fallbacks)
        if fallbacks and job.deadline_class in PROMISED:
            # It is given them in the calendar, as late as they are enough.
            free = {name: count for name, count in free.items() if name not in fallbacks}
        elif fallbacks:
            free = self._with_few_fallbacks(job, free, fallbacks)
        job = with_devices(job, free, self._groups)
        work = decide_workers(job)
        self.work[job.key] = job, work
        if isinstance(work.action, Start):
            if job.room is not None:
                self._spend(job, use_with(job, work.action, ends_us=work.expected_finish_us), work)
            devices = spread(work.action.assignments, free, self._groups)
            self.work[job.key] = job, on_nodes(work, work.action, job, devices, self._groups)
            begun = self._groups.charged(job.key, devices)
            taken = [(name, Taken(0, horizon_us, count)) for name, count in begun.items()]
            self._pool = self._pool.less(taken)
            self._beside = {kind: pool.less(taken) for kind, pool in self._beside.items()}
            self.idle.take(job.key, devices)

    def _with_few_fallbacks(self, job: ScheduledJob, free: dict[str, int], fallbacks: Iterable[str]) -> dict[str, int]:
        """Return the devices with as few of the fallbacks as keep a running job in time; all if none suffice."""
        names = sorted(fallbacks)

        def limited(count: int) -> dict[str, int]:
            devices = dict(free)
            for name in names:
                devices[name] = min(count, free.get(name, 0))
                count -= devices[name]
            return devices

        def suffices(count: int) -> bool:
            return not decide_workers(with_devices(job, limited(count), self._groups)).is_short

        most = sum(free.get(name, 0) for name in names)
        return limited(find_least(suffices, 0, most)) if most and suffices(most) else free

    def _offered(self, job: ScheduledJob, *, may_ask: bool = False) -> dict[str, int]:
        """Return by group on how many devices workers of the job could be started now, or ask for a node."""
        names = [group.name for group in self._groups.of(job.key) if may_ask or not group.provision]
        offered = self.idle.offered(job.key, job.could_have, names)
        return less_absent(offered, self._groups, job.absent_kinds)

    def _place(self) -> Placements:
        """Place the jobs that wait and those that lag."""
        wanted: dict[JobKey, CalendarJob] = {}
        for job in self._open_jobs():
            self._guarded(job.key, self._ask_for_place, job, wanted)
        # Who is helped, or stops a worker, does so beside what is reserved for it.
        acting = [self._jobs[key] for key, (_, work) in self.work.items() if work.action is not None]
        self._pool = keep_promised(self._pool, acting, self._groups)
        running: dict[JobKey, RunningJob] = {}
        for job in self._running("Hard") if wanted else ():
            self._guarded(job.key, self._enter_running, job, running)
        placing, noise = self._place_within_cost(wanted, running)
        self._handing_over, self.joint_errors = placing.handing_over, placing.errors
        self.errors |= placing.faults
        for key in noise:
            self.work[key] = self._jobs[key], keep_windows(self._jobs[key])
        self._pool = keep_promised(self._pool, [self._jobs[key] for key in noise], self._groups)
        return placing.placed

    def _place_within_cost(
        self, wanted: Mapping[JobKey, CalendarJob], running: Mapping[JobKey, RunningJob]
    ) -> tuple[Placing, frozenset[JobKey]]:
        """Place the jobs, and again without those that can't pay for their places, until all can."""
        while True:
            placing, noise = place_beside_noise(wanted, self._jobs, self._pool, self._groups, running)
            dear: set[JobKey] = set()
            for key, (placement, _) in placing.placed.items():
                self._guarded(key, self._judge_cost, self._jobs[key], placement, dear)
            if not dear:
                return placing, noise
            wanted = {key: job for key, job in wanted.items() if key not in dear}

    def _judge_cost(self, job: ScheduledJob, placement: Placement, dear: set[JobKey]) -> None:
        if not affords_place(job, placement, self._groups.class_of):
            self.work[job.key] = job, wait_for_cheaper(job, use_of_place(job, placement, self._groups.class_of))
            dear.add(job.key)

    def _ask_for_place(self, job: ScheduledJob, wanted: dict[JobKey, CalendarJob]) -> None:
        if not job.could_use_devices or not self._usables.are_there(job):
            return
        if job.alive and job.deadline_class in YIELDING:  # it has what is idle, and takes it as it comes
            return
        _, work = self.work.get(job.key, (job, WorkDecision()))
        lags = (work.is_short and not work.is_over_cost) or not job.alive or bool(job.windows)
        images, least = images_to_place(job) if lags and work.action is None else (0, 0)
        if images > 0 and (usable := self._usables.of(job)).for_more.groups:
            place = within_cost(usable.to_place(images=images, least=least), job, self._groups.class_of)
            refuse = place if isinstance(place, Refuse) else find_refusal(place, job, self._groups)
            if refuse:
                self.work[job.key] = job, told_of_budget(job, refuse)
            elif isinstance(place, CalendarJob):
                wanted[job.key] = place

    def _enter_running(self, job: ScheduledJob, found: dict[JobKey, RunningJob]) -> None:
        if job.images_left and self._usables.are_there(job):
            _, work = self.work.get(job.key, (job, WorkDecision()))
            is_well = work.action is None and not work.is_short
            own = self._own[job.key]
            found[job.key] = running_job(self._usables.of(job), own, may_hand_over=is_well)

    def _decide(self, placed: Placements, *classes: DeadlineClass) -> None:
        """Decide what begins now of the jobs of these classes."""
        of_class = {
            key: found
            for key, (found, _) in placed.items()
            if found.job.deadline_class in classes and key not in self._handing_over
        }
        # What is kept for nobody is left to those that are promised something.
        counting = PROMISED if classes == PROMISED else CLASSES
        given = {key: found for key, (found, _) in placed.items() if found.job.deadline_class in counting}
        now = FreeNow(self._groups, self._pool, given)
        for key in sorted(of_class, key=lambda key: urgency(of_class[key])):
            job = self._jobs[key]
            self._guarded(job.key, self._decide_one, job, placed, now)

    def _decide_one(self, job: ScheduledJob, placed: Placements, now: FreeNow) -> None:
        placement, calendar = placed[job.key]
        begun: Mapping[str, int] = {}
        work = self._turns.queue_up(self._usables.of(job), placement)
        if work is None:
            candidate = Candidate(
                usable=self._usables.of(job),
                placement=placement,
                calendar=calendar,
                now=now,
                idle=self._offered(job, may_ask=True),
            )
            work, begun = decide_placed(candidate)
        work = self._within_limits(job, work, placement)
        if not isinstance(work.action, Start):
            begun = {}
        self.idle.take(job.key, begun)
        self.work[job.key] = job, work

    def _within_limits(self, job: ScheduledJob, work: WorkDecision, placement: Placement) -> WorkDecision:
        """Return what was decided, or what becomes of the job if it can't pay for it after the jobs before it."""
        if isinstance(work.action, Refuse):
            return told_of_budget(job, work.action)
        is_limited = job.cost_limit is not None or job.key[0] in self._accounts
        use = use_of_work(job, work, placement, self._groups.class_of) if is_limited else None
        if use is None:
            return work
        job = with_room(job, self._accounts)
        if not affords_start(job, work) or (job.room is not None and not job.room.allows(use)):
            return wait_for_cheaper(job, use)
        self._spend(job, use, work)
        return work

    def _spend(self, job: ScheduledJob, use: Use, work: WorkDecision) -> None:
        """Count what a job is expected to use, for the jobs after it."""
        namespace, name = job.key
        if account := self._accounts.get(namespace):
            expense = Expense(job.spent.plus(use), work.expected_finish_us or job.deadline_us)
            self._accounts[namespace] = account.with_expense(name, expense)

    def _decide_alone(self, job: ScheduledJob) -> None:
        self.work[job.key] = job, decide_workers(job)
