"""The watch over a planned job: workers that hang or are too many, and help where the rest would be late. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dueby_operator.control.work.assign import assign_helpers
from dueby_operator.control.work.decision import Start, Stop, WorkDecision, stoppable, without
from dueby_operator.model.job_model import JobModel, StartReason, WorkerModel
from dueby_planner.model.capacity import DeviceGroup, at_confidence
from dueby_planner.model.problem import NEVER_US
from dueby_planner.model.rule import Rule
from dueby_planner.profiles.pool import Pool
from dueby_planner.replan import OngoingWorker, WorkerChange, finish_by_parts_us, finish_us, read_lag

# A worker is taken to hang if it shows no sign of life for this long, and for so many of its usual steps beside: a
# step may take long, and so may a store's back-off, but neither takes for ever.
HANG_US = 60_000_000
HANG_STEPS = 20
# So long after a worker's time is up its device is still meant for others.
_OTHERS_COME_US = 300_000_000
# Parts that each worker has yet to do, from which on it is counted who does which of them.
FEW_PARTS = 8


def watch(model: JobModel, pool: Pool) -> WorkDecision:
    """Return what to change about the workers of a planned job; usually nothing."""
    there = ongoing(model)
    stops: tuple[tuple[tuple[str, ...], StartReason], ...] = (
        (_hanging(model), "WorkerLost"),
        (_over_limit(model, there), "Edited"),
    )
    for workers, reason in stops:
        stop = Stop(workers=workers, reason=reason)
        if stoppable(model, stop):
            return WorkDecision(action=stop, lag=model.lag, expected_finish_us=expect_finish_us(without(model, stop)))
    if any(worker.state == "queued" for worker in model.workers):
        # They are on their way: what they will do is not known to be missing.
        return WorkDecision(lag=model.lag, expected_finish_us=expect_finish_us(model) if there else None)
    change = _read_lag(model, pool, there)
    action = _action_of(model, change)
    is_kept = change.give_back is not None and action is None
    return WorkDecision(
        action=action,
        # What doesn't change begins no pause.
        lag=replace(model.lag, low_readings=0) if is_kept else change.memory,
        is_short=change.is_short,
        expected_finish_us=expect_finish_us(_changed_by(action, model)),
    )


def watch_alone(model: JobModel) -> WorkDecision:
    """Return how far the workers are of a job for which there is no other device, or none with a profile."""
    is_queued = any(worker.state == "queued" for worker in model.workers)
    finish_us = forecast_us(model)
    # Where every worker is lost, nobody does the rest.
    is_short = not is_queued and (finish_us is None or finish_us > model.deadline_us)
    return WorkDecision(lag=model.lag, is_short=is_short, expected_finish_us=expect_finish_us(model))


def ongoing(model: JobModel, workers: Iterable[WorkerModel] | None = None) -> list[OngoingWorker]:
    """Return the workers that are there, with their observed times if there are some.

    `workers` are others than these: a worker that waits in its queue is taken to be admitted now.
    """
    found = _admitted(model) if workers is None else workers
    up = whose_time_is_up(model)
    return [_ongoing(worker, model, is_up=worker.name in up) for worker in found]


def _admitted(model: JobModel) -> list[WorkerModel]:
    return [worker for worker in model.alive if worker.state != "queued"]


def whose_time_is_up(model: JobModel) -> frozenset[str]:
    """Return the names of the workers whose time is up, if their job goes on without them and others may yet come.

    It goes on in later windows, or with workers that are in time alone. Others may be late, such as after an operator
    was away. If nobody has come in five minutes, the worker keeps its device.
    """
    untils_us = [(worker.name, worker.assignment.until_us) for worker in model.alive]
    over = frozenset(
        name for name, until_us in untils_us if until_us is not None and 0 <= model.now_us - until_us < _OTHERS_COME_US
    )
    return over if over and (model.reserved or _others_do_the_rest(model)) else frozenset()


def _others_do_the_rest(model: JobModel) -> bool:
    """Return whether the workers whose time is not up are expected to be done by the deadline."""
    time_us = max(0, model.deadline_us - model.now_us)
    untils_us = ((worker, worker.assignment.until_us) for worker in _admitted(model))
    staying = [worker for worker, until_us in untils_us if until_us is None or until_us > model.now_us]
    there = [_ongoing(worker, model, is_up=False) for worker in staying]
    return sum(worker.images_within(time_us) for worker in there) >= model.images_left


def forecast_us(model: JobModel) -> int | None:
    """Return when the workers, and those that will have what is reserved, are expected to be done; None if never."""
    there = ongoing(model)
    rest_us = finish_us([*there, *model.reserved], model.images_left)
    if rest_us is None:
        return None
    return model.now_us + max(rest_us, _finish_by_parts_us(model, there) or 0)


def expect_finish_us(model: JobModel) -> int | None:
    """Return when to expect the end, for people; None if nobody will do the rest.

    Where the devices are too few for as long as they are the job's, it is when these would be done if they stayed.
    """
    finish_us = forecast_us(model)
    if finish_us is not None:
        return finish_us
    max_iterations = model.spec.gpus.max_iterations
    most = None if max_iterations is None else max_iterations + 1
    workers = tuple(replace(worker, assignment=replace(worker.assignment, until_us=None)) for worker in model.workers)
    reserved = tuple(replace(window, iterations_left=most) for window in model.reserved)
    return forecast_us(replace(model, workers=workers, reserved=reserved))


def max_workers(model: JobModel) -> int | None:
    """Return NGPU, the most devices that the job may have: by its spec and by what there is room for."""
    limits = [limit for limit in (model.spec.gpus.max, model.most) if limit is not None]
    return min(limits, default=None)


def pause_us(starts_us: Iterable[int]) -> int:
    """Return 2 (S + W): how long nothing changes after a change."""
    return 2 * max(starts_us, default=0)


def _read_lag(model: JobModel, pool: Pool, there: Sequence[OngoingWorker]) -> WorkerChange:
    rule = Rule(
        images=model.images_left,
        confidence=model.spec.planned_confidence,
        spreads=pool.spreads,
        reserve=model.spec.gpus.reserve,
        part_size=model.part_size,
    )
    return read_lag(
        [*there, *model.reserved],
        _free_groups(model, pool),
        rule=rule,
        time_us=model.deadline_us - model.now_us,
        promised_us=min(model.promised_us or model.deadline_us, model.deadline_us) - model.now_us,
        max_added=_max_more(model, len(there)),
        now_us=model.now_us,
        pause_us=pause_us(worker.assignment.choice.start_us for worker in model.workers),
        memory=model.lag,
        # What is idle costs nobody anything.
        at_once=model.news is not None or not there or model.spec.deadline_class == "Relaxed",
        max_iterations=model.spec.gpus.max_iterations,
        # Who edits a job to need fewer devices sees it have fewer.
        unwanted=() if model.news == "Edited" else model.unwanted,
    )


def _action_of(model: JobModel, change: WorkerChange) -> Start | Stop | None:
    if change.give_back in [worker.name for worker in model.alive]:
        # Right after a loss nobody knows yet how much there is to spare.
        return None if model.news == "WorkerLost" else Stop(workers=(change.give_back,), reason=model.news or "Ahead")
    if not change.add:
        return None
    return Start(
        assignments=assign_helpers(model, change.add),
        part_size=model.part_size or model.images,
        reason=model.news or "Lagging",
    )


def _changed_by(action: Start | Stop | None, model: JobModel) -> JobModel:
    """Return the job with what the workers will do that are started now, and without those that are stopped."""
    match action:
        case Start(assignments=assignments):
            helpers = [WorkerModel(assignment=a, state="starting", created_us=model.now_us) for a in assignments]
            return replace(model, reserved=(*model.reserved, *ongoing(model, helpers)))
        case Stop():
            return without(model, action)
        case None:
            return model


def _finish_by_parts_us(model: JobModel, there: Sequence[OngoingWorker]) -> int | None:
    """Return the time until the parts are done, each by one worker; None while that makes no difference to speak of.

    It is None, too, while it isn't known which parts are missing.
    """
    part_size, missing = model.part_size, len(model.missing_parts)
    # With few parts each, one more or less matters.
    if part_size is None or model.least_done or missing > FEW_PARTS * len(there):
        return None
    workers = _admitted(model)
    # What a worker has done beside its open part, and not committed, is on its way into the sink.
    done = sum(worker.open_images // part_size for worker in workers)
    # One that has done nothing of its part is as good as free for it.
    opened = [-worker.open_images % part_size for worker in workers]
    unopened = missing - done - sum(left > 0 for left in opened)
    reserved = model.reserved
    return finish_by_parts_us(
        [*there, *reserved], [*opened, *(0 for _ in reserved)], parts=max(0, unopened), part_size=part_size
    )


def _ongoing(worker: WorkerModel, model: JobModel, *, is_up: bool) -> OngoingWorker:
    choice, now_us, max_iterations = worker.assignment.choice, model.now_us, model.spec.gpus.max_iterations
    latency_us = worker.step_us or choice.latency_us
    if worker.last_step_us is None:
        rest_us = max(0, worker.created_us + choice.expected_start_us - now_us)
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


def _free_groups(model: JobModel, pool: Pool) -> list[DeviceGroup]:
    """Return the pool without the devices that living workers have."""
    busy = [worker.assignment.device_class for worker in model.alive]
    return [
        DeviceGroup(
            device_class=group.device_class,
            count=max(0, group.count - busy.count(group.device_class)),
            choices=group.choices,
            available_us=group.available_us,
        )
        for group in at_confidence(pool.groups, model.spec.planned_confidence, run=0.0)
    ]


def _max_more(model: JobModel, there: int) -> int:
    most = max_workers(model)
    return max(0, (sum(model.counts.values()) if most is None else most) - there)


def _hanging(model: JobModel) -> tuple[str, ...]:
    """Return the workers that do nothing and say so, for too long."""
    return tuple(
        worker.name for worker in model.alive if worker.state != "queued" and _is_hanging(worker, model.now_us)
    )


def _is_hanging(worker: WorkerModel, now_us: int) -> bool:
    """Return whether the worker says itself that it has done nothing for too long.

    Silence alone is none: an image may be on its way, or a NetworkPolicy between it and the operator, and a process
    that answers nobody is restarted by the kubelet, which asks it from beside it.
    """
    choice = worker.assignment.choice
    if worker.answers_since_us is None or worker.waits_for:
        return False
    if worker.last_step_us is None:
        return now_us - worker.answers_since_us > HANG_US + HANG_STEPS * choice.start_us
    return now_us - worker.last_step_us > HANG_US + HANG_STEPS * (worker.step_us or choice.latency_us)


def _over_limit(model: JobModel, there: Sequence[OngoingWorker]) -> tuple[str, ...]:
    """Return the workers to stop after gpus.max was lowered or classes were taken away: those that do least."""
    gpus = model.spec.gpus
    barred = {w.name for w in model.workers if gpus.classes and w.assignment.device_class not in gpus.classes}
    stopped = [worker.name for worker in there if worker.name in barred]
    kept = [worker for worker in there if worker.name not in barred]
    if gpus.max is not None and len(kept) > gpus.max:
        time_us = max(0, model.deadline_us - model.now_us)
        by_ability = sorted(kept, key=lambda worker: (worker.images_within(time_us), worker.name))
        stopped += [worker.name for worker in by_ability[: len(kept) - gpus.max]]
    return tuple(stopped)
