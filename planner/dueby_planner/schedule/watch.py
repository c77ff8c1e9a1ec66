"""decide_workers(job) -> WorkDecision: which workers to start or stop now, whatever other jobs do; usually none.

    nothing left, or too late to go on     nothing: the finish policy ends the job
    no plan yet                            the plan, or a refusal              (plan_first, deadline_classes.judge)
    a plan                                 more workers, one fewer, or nothing (watch, lag.read_lag)

A lost worker leaves nothing to repair: parts are the unit of commit, and whoever is done takes over its tail. The only
question is whether the workers that are left will be in time. Who does which parts is said here, too.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import NamedTuple

from dueby_api.grid import Grid
from dueby_api.inference_job import DeadlineClass
from dueby_api.parts import all_parts, parts_of_runs
from dueby_planner.deadline_classes import Verdict, judge
from dueby_planner.model.capacity import DeviceChoice, Provision, at_confidence
from dueby_planner.model.feed import more_fed, paced_groups, rate_of, rate_of_step, read_rates
from dueby_planner.model.problem import NEVER_US, Problem, find_least
from dueby_planner.model.shares import cut_runs
from dueby_planner.profiles.pool import Pool
from dueby_planner.schedule.affordable import affords, new_workers, use_with
from dueby_planner.schedule.calendar import LATER
from dueby_planner.schedule.job import Assignment, ScheduledJob, StartReason, WorkerModel
from dueby_planner.schedule.lag import (
    HYSTERESIS,
    LagMemory,
    OngoingWorker,
    WorkerChange,
    finish_by_parts_us,
    finish_us,
    images_within,
    read_lag,
)
from dueby_planner.schedule.request import Refuse, Start, Stop, WorkDecision, stoppable, without

# A worker is taken to hang if it shows no sign of life for this long, and for so many of its usual steps beside: a
# step may take long, and so may a store's back-off, but neither takes for ever.
HANG_US = 60_000_000
HANG_STEPS = 20
# So long after a worker's time is up its device is still meant for others.
_OTHERS_COME_US = 300_000_000
# Parts that each worker has yet to do, from which on it is counted who does which of them.
FEW_PARTS = 8


def watch(job: ScheduledJob, pool: Pool) -> WorkDecision:
    """Return what to change about the workers of a planned job; usually nothing."""
    there = ongoing(job)
    for find, cause in CAUSES_TO_STOP:
        stop = Stop(workers=find(job), reason=cause)
        if stoppable(job, stop):
            return WorkDecision(action=stop, lag=job.lag, expected_finish_us=expect_finish_us(without(job, stop)))
    if any(worker.state == "queued" for worker in job.workers):
        # They are on their way: what they will do is not known to be missing.
        return WorkDecision(lag=job.lag, expected_finish_us=expect_finish_us(job) if there else None)
    change = _read_lag(job, pool, there)
    reason: StartReason = "Lagging"
    action = _action_of(job, change, reason)
    if action is None and (replacement := _replace_fallbacks(job, pool, there)) is not None:
        change, reason = replacement, "SpotCame"
        action = _action_of(job, change, reason)
    after, is_unaffordable = job, False
    if isinstance(action, Start):
        after = replace(job, reserved=(*job.reserved, *ongoing(job, new_workers(job, action))))
        if not affords(job, use_with(job, action, ends_us=expect_finish_us(after))):
            action, after, is_unaffordable = None, job, True
    elif action:
        after = without(job, action)
    # What doesn't change begins no pause.
    is_kept = action is None and (is_unaffordable or change.give_back is not None)
    # Without spot devices, the job goes on with what it has.
    is_over_cost = is_unaffordable and reason != "SpotCame"
    return WorkDecision(
        action=action,
        lag=replace(job.lag, low_readings=0) if is_kept else change.memory,
        is_short=change.is_short or is_over_cost,
        is_over_cost=is_over_cost,
        expected_finish_us=expect_finish_us(after),
    )


def watch_alone(job: ScheduledJob) -> WorkDecision:
    """Return how far the workers are of a job for which there is no other device, or none with a profile."""
    is_queued = any(worker.state == "queued" for worker in job.workers)
    finish_us = forecast_us(job)
    # Where every worker is lost, nobody does the rest.
    is_short = not is_queued and (finish_us is None or finish_us > job.deadline_us)
    return WorkDecision(lag=job.lag, is_short=is_short, expected_finish_us=expect_finish_us(job))


def ongoing(job: ScheduledJob, workers: Iterable[WorkerModel] | None = None) -> list[OngoingWorker]:
    """Return the workers that are there, with their observed times if there are some.

    `workers` are others than these: a worker that waits in its queue is taken to be admitted now.
    """
    found = job.admitted if workers is None else workers
    up = whose_time_is_up(job)
    return [_ongoing(worker, job, is_up=worker.name in up) for worker in found]


def whose_time_is_up(job: ScheduledJob) -> frozenset[str]:
    """Return the names of the workers whose time is up, if their job goes on without them and others may yet come.

    It goes on in later windows, or with workers that are in time alone. Others may be late, such as after an operator
    was away. If nobody has come in five minutes, the worker keeps its device.
    """
    untils_us = [(worker.name, worker.assignment.until_us) for worker in job.alive]
    over = frozenset(
        name for name, until_us in untils_us if until_us is not None and 0 <= job.now_us - until_us < _OTHERS_COME_US
    )
    return over if over and (job.reserved or _others_do_the_rest(job)) else frozenset()


def _others_do_the_rest(job: ScheduledJob) -> bool:
    """Return whether the workers whose time is not up are expected to be done by the deadline."""
    time_us = max(0, job.time_us)
    untils_us = ((worker, worker.assignment.until_us) for worker in job.admitted)
    staying = [worker for worker, until_us in untils_us if until_us is None or until_us > job.now_us]
    there = [_ongoing(worker, job, is_up=False) for worker in staying]
    return images_within(there, time_us) >= job.images_left


def forecast_us(job: ScheduledJob) -> int | None:
    """Return when the workers, and those that will have what is reserved, are expected to be done; None if never."""
    there = ongoing(job)
    rest_us = finish_us([*there, *job.reserved], job.images_left)
    if rest_us is None:
        return None
    return job.now_us + max(rest_us, _finish_by_parts_us(job, there) or 0)


def expect_finish_us(job: ScheduledJob) -> int | None:
    """Return when to expect the end, for people; None if nobody will do the rest.

    Where the devices are too few for as long as they are the job's, it is when these would be done if they stayed.
    """
    finish_us = forecast_us(job)
    if finish_us is not None:
        return finish_us
    max_iterations = job.spec.gpus.max_iterations
    most = None if max_iterations is None else max_iterations + 1
    workers = tuple(replace(worker, assignment=replace(worker.assignment, until_us=None)) for worker in job.workers)
    reserved = tuple(replace(window, iterations_left=most) for window in job.reserved)
    return forecast_us(replace(job, workers=workers, reserved=reserved))


def images_to_place(job: ScheduledJob) -> tuple[int, int]:
    """Return the images that its workers won't do by the deadline, or all if it has none, and the least of them.

    More are placed again than what was placed before has to do: noise must not move it. Workers that wait in a queue
    are taken to be admitted now.
    """
    left = job.images_left
    done = images_within(ongoing(job, job.alive), max(0, job.time_us))
    if not job.has_started:
        return left, max(1, ceil(left * (1 - HYSTERESIS)))
    return max(0, ceil(left * (1 + HYSTERESIS)) - done), max(1, left - done)


def pause_us(starts_us: Iterable[int]) -> int:
    """Return 2 (S + W): how long nothing changes after a change."""
    return 2 * max(starts_us, default=0)


def _replace_fallbacks(job: ScheduledJob, pool: Pool, there: Sequence[OngoingWorker]) -> WorkerChange | None:
    """Return the start of workers on idle devices that are no fallbacks, in the place of as many as can be on these.

    None if that gains nothing: within 2 (S + W) of a change, or of the end. Those on fallbacks are given back once the
    others have started and are accepted without them.
    """
    own = (worker.name for worker in job.admitted if worker.can_shrink)
    replaceable = sorted(job.on_fallbacks.intersection(own))
    quiet_us = pause_us(worker.assignment.choice.start_us for worker in job.workers)
    is_nearly_done = images_within(there, quiet_us) >= job.images_left
    if not replaceable or job.now_us < job.lag.quiet_until_us or is_nearly_done:
        return None

    def beside(kept: int) -> WorkerChange:
        return _read_lag(job, pool, [w for w in there if w.name not in replaceable[kept:]], at_once=True)

    fewest = find_least(lambda kept: kept == len(replaceable) or not beside(kept).is_short, 0, len(replaceable))
    change = beside(fewest)
    if fewest == len(replaceable) or not change.add:
        return None
    starts_us = max(able.choice.start_us for able, _ in change.add)
    return replace(change, memory=LagMemory(quiet_until_us=job.now_us + starts_us))


def _read_lag(job: ScheduledJob, pool: Pool, there: Sequence[OngoingWorker], *, at_once: bool = False) -> WorkerChange:
    feed, confidence, most = job.feed, job.spec.planned_confidence, job.max_devices
    busy = [worker.assignment.device_class for worker in job.alive]
    groups = pool.groups if feed is None else paced_groups(pool.groups, feed.rate)
    max_added = max(0, (sum(job.counts.values()) if most is None else most) - len(job.admitted))
    promised_us = min(job.promised_us or job.deadline_us, job.deadline_us)
    if 0 < len(job.on_fallbacks) < len(job.admitted):
        # Fallbacks are given back as soon as the others are accepted by the deadline, however much later they end.
        promised_us = job.deadline_us
    if feed is not None:
        taken = [rate_of_step(worker.mini_batch_size, worker.latency_us) for worker in there]
        max_added = min(max_added, more_fed(feed, pool.groups, taken))
    return read_lag(
        [*there, *job.reserved],
        [
            replace(group, count=max(0, group.count - busy.count(group.device_class)))
            for group in at_confidence(groups, confidence, run=0.0)
        ],
        rule=job.problem(pool, job.images_left).rule.of_started,
        time_us=job.time_us,
        promised_us=promised_us - job.now_us,
        max_added=max_added,
        now_us=job.now_us,
        pause_us=pause_us(worker.assignment.choice.start_us for worker in job.workers),
        memory=job.lag,
        # What is idle costs nobody anything.
        at_once=at_once or job.news is not None or not there or job.deadline_class == "Relaxed",
        max_iterations=job.spec.gpus.max_iterations,
        # Who edits a job to need fewer devices sees it have fewer.
        unwanted=() if job.news == "Edited" else job.unwanted,
    )


def _action_of(job: ScheduledJob, change: WorkerChange, reason: StartReason) -> Start | Stop | None:
    if change.give_back in [worker.name for worker in job.alive]:
        # Right after a loss nobody knows yet how much there is to spare.
        return None if job.news == "WorkerLost" else Stop(workers=(change.give_back,), reason=job.news or "Ahead")
    if not change.add:
        return None
    # Long after the deadline there is time for more images than the job has.
    helpers = [
        NewWorker(able.group.device_class, able.choice, min(able.images, job.images))
        for able, count in change.add
        for _ in range(count)
    ]
    return Start(
        assignments=assign(job, helpers),
        part_size=job.part_size or job.images,
        reason=job.news or reason,
    )


def _finish_by_parts_us(job: ScheduledJob, there: Sequence[OngoingWorker]) -> int | None:
    """Return the time until the parts are done, each by one worker; None while that makes no difference to speak of.

    It is None, too, while it isn't known which parts are missing.
    """
    part_size, missing = job.part_size, len(job.missing_parts)
    # With few parts each, one more or less matters.
    if part_size is None or job.least_done or missing > FEW_PARTS * len(there):
        return None
    workers = job.admitted
    # What a worker has done beside its open part, and not committed, is on its way into the sink.
    done = sum(worker.open_images // part_size for worker in workers)
    # One that has done nothing of its part is as good as free for it.
    opened = [-worker.open_images % part_size for worker in workers]
    unopened = missing - done - sum(left > 0 for left in opened)
    reserved = job.reserved
    return finish_by_parts_us(
        [*there, *reserved], [*opened, *(0 for _ in reserved)], parts=max(0, unopened), part_size=part_size
    )


def _ongoing(worker: WorkerModel, job: ScheduledJob, *, is_up: bool) -> OngoingWorker:
    choice, now_us, max_iterations = worker.assignment.choice, job.now_us, job.spec.gpus.max_iterations
    latency_us = job.step_us(worker)
    if worker.last_step_us is None:
        rest_us = max(0, worker.created_us + choice.expected_start_us - now_us)
        if worker.node and worker.assignment.provision:  # its node has come
            rest_us = min(rest_us, choice.expected_start_us - worker.assignment.provision.expected_us)
    else:
        rest_us = max(0, worker.last_step_us + latency_us - now_us)
    # The first mini-batch is not one of the iterations.
    limits = [] if max_iterations is None else [max_iterations + 1 - worker.batches]
    until_us = worker.assignment.until_us
    # If nobody comes for its device, it goes on; if its node goes, it doesn't.
    is_bound = until_us is not None and (until_us > now_us or is_up)
    end_us = min(until_us, worker.leaves_us) if until_us is not None and is_bound else worker.leaves_us
    if end_us < NEVER_US:
        limits.append(max(0, (end_us - now_us - rest_us) // latency_us + 1))
    return OngoingWorker(
        name=worker.name,
        mini_batch_size=choice.mini_batch_size,
        latency_us=latency_us,
        rest_us=rest_us,
        iterations_left=min(limits, default=None),
    )


def find_hanging(job: ScheduledJob) -> tuple[str, ...]:
    """Return the workers that say themselves that they have done nothing for too long.

    Silence alone is none: an image may be on its way, or a NetworkPolicy between it and the operator, and a process
    that answers nobody is restarted by the kubelet, which asks it from beside it.
    """

    def is_hanging(worker: WorkerModel) -> bool:
        choice = worker.assignment.choice
        if worker.state == "queued" or worker.answers_since_us is None or worker.waits_for:
            return False
        if worker.last_step_us is None:
            return job.now_us - worker.answers_since_us > HANG_US + HANG_STEPS * worker.assignment.start_on_node_us
        return job.now_us - worker.last_step_us > HANG_US + HANG_STEPS * (worker.step_us or choice.latency_us)

    return tuple(worker.name for worker in job.alive if is_hanging(worker))


def find_over_limit(job: ScheduledJob) -> tuple[str, ...]:
    """Return the workers to stop after gpus.max was lowered or classes were taken away: those that do least."""
    gpus, there = job.spec.gpus, ongoing(job)
    barred = {w.name for w in job.workers if gpus.classes and w.assignment.device_class not in gpus.classes}
    stopped = [worker.name for worker in there if worker.name in barred]
    kept = [worker for worker in there if worker.name not in barred]
    if gpus.max is not None and len(kept) > gpus.max:
        time_us = max(0, job.time_us)
        by_ability = sorted(kept, key=lambda worker: (worker.images_within(time_us), worker.name))
        stopped += [worker.name for worker in by_ability[: len(kept) - gpus.max]]
    return tuple(stopped)


CAUSES_TO_STOP: tuple[tuple[Callable[[ScheduledJob], tuple[str, ...]], StartReason], ...] = (
    (find_hanging, "WorkerLost"),
    (find_over_limit, "Edited"),
)
"""Why a job's workers are stopped whatever others need, in this order: the first that names one is the reason. After
them, one worker is given back where the others do as well without it (lag.py); for others' sake see stops.py."""


class NewWorker(NamedTuple):
    """What a worker is to do that is started now."""

    device_class: str
    choice: DeviceChoice
    images: int
    until_us: int | None = None
    """When its device is meant for others, in microseconds since 1970; None: it may be kept to the end."""
    pool: str = ""
    """The pool of nodes that it asks for one; empty: none."""
    provision: Provision | None = None
    """How long that may take."""
    is_spot: bool | None = None
    """Whether it must have a device that may be taken away, or must not; None: the plan doesn't say."""


def assign(job: ScheduledJob, workers: Sequence[NewWorker], *, part_size: int | None = None) -> tuple[Assignment, ...]:
    """Return what these workers are started with: with runs of parts in the ratio of what each is to do.

    A job's first workers do all missing parts; `part_size` is of its grid, which may be new. Later ones, without it,
    are helpers: they do what lost workers left, and where that is nothing, they take from everybody's tails.
    """
    if part_size is None:
        shares = (worker.assignment.share for worker in job.alive)
        parts = job.missing_parts - parts_of_runs((share.first, share.end) for share in shares)
    else:
        parts = all_parts(Grid(images=job.images, part_size=part_size).parts) - job.parts_there
    runs = cut_runs(parts, [worker.images for worker in workers])
    read: Sequence[int | None] = [None] * len(workers)
    if job.feed is not None:
        taken = sum(rate_of(worker.assignment.choice) for worker in job.alive)
        read = read_rates(job.feed, [worker.choice for worker in workers], taken=taken)
    return tuple(
        Assignment(
            worker=f"w{number}",
            revision=job.revision + 1,
            device_class=worker.device_class,
            choice=worker.choice,
            iterations=max(0, worker.images // worker.choice.mini_batch_size - 1),
            share=share,
            until_us=worker.until_us,
            pool=worker.pool,
            provision=worker.provision,
            is_spot=worker.is_spot,
            read_rate=read_rate,
        )
        for number, (worker, share, read_rate) in enumerate(zip(workers, runs, read, strict=True), job.next_number)
    )


# A late job has the fewest devices that end within this share of the earliest end.
SLOWER = Fraction(1, LATER)


def plan_first(job: ScheduledJob, pool: Pool) -> WorkDecision:
    """Return the start of the plan, or the refusal."""
    verdict = _judge(job.problem(pool, job.images_left), job)
    plan = verdict.plan
    if plan is None or verdict.action not in ("Start", "StartLate"):
        return WorkDecision(action=Refuse(verdict=verdict))
    # A sink that was begun before keeps its grid.
    part_size = job.part_size or plan.part_size
    workers = [
        NewWorker(group.device_class, group.choice, group.images_each)
        for group in plan.groups
        for _ in range(group.count)
    ]
    start = Start(
        assignments=assign(job, workers, part_size=part_size),
        part_size=part_size,
        reason="Resumed" if job.parts_there else "Started",
        verdict=verdict,
    )
    quiet_us = pause_us(group.choice.start_us for group in plan.groups)
    return WorkDecision(
        action=start,
        lag=LagMemory(quiet_until_us=job.now_us + quiet_us),
        is_short=not plan.is_in_time,
        expected_finish_us=job.now_us + plan.expected_finish_us,
    )


def _judge(problem: Problem, job: ScheduledJob) -> Verdict:
    """Return the verdict; if only one class may be used, that of the class that needs the fewest devices."""
    # What Relaxed and BestEffort jobs may have is idle, and they start on it like Soft ones. So does a Hard job whose
    # workers are gone: it goes on, however late.
    kind: DeadlineClass = "Hard" if job.spec.deadline_class == "Hard" and not job.had_workers else "Soft"
    groups = [group for group in problem.pool.groups if group.count]
    if not job.is_queued or len(groups) < 2:
        return judge(problem, kind, slower=SLOWER)
    alone = [replace(problem, pool=replace(problem.pool, groups=(group,))) for group in groups]

    def preference(verdict: Verdict) -> tuple[bool, bool, int, int]:
        """Order verdicts: a plan first, then in time, then few devices, then an early finish."""
        plan = verdict.plan
        order = (plan.gpus, plan.expected_finish_us) if plan else (0, 0)
        return plan is None, bool(verdict.infeasible), *order

    return min((judge(each, kind, slower=SLOWER) for each in alone), key=preference)


def decide_workers(job: ScheduledJob) -> WorkDecision:
    """Return what to do about the job's workers now. Raise Invalid if its profiles or its pool can't be planned on."""
    if job.is_complete or job.must_stop:
        return WorkDecision()
    if not any(job.counts.values()):
        return watch_alone(job)
    pool = job.pool(job.counts)
    pool = replace(pool, warnings=(*pool.warnings, *job.warnings))
    return plan_first(job, pool) if job.revision == 0 else watch(job, pool)
