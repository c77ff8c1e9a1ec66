"""decide(view) -> actions: the control loop's only decisions, without any I/O, clock or memory of its own.

    all parts there                -> Finish
    deadline passed, onDeadline    -> Stop, Finish
    no plan yet                    -> Start the plan, or Refuse          (deadline_classes.judge)
    a plan                         -> Start more, Stop one, or nothing   (replan.read_lag)

A worker that is lost leaves nothing to repair: parts are the unit of commit, and whoever is done takes over its tail.
The question is only whether those that are left will be in time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dueby_api.grid import Grid
from dueby_operator.control.model import (
    GONE,
    Action,
    Assignment,
    Decision,
    Finish,
    JobView,
    Reason,
    Refuse,
    Start,
    Stop,
    WorkerView,
)
from dueby_planner.deadline_classes import Verdict, judge
from dueby_planner.model.capacity import Capacity, DeviceGroup, at_confidence
from dueby_planner.model.plan import Plan
from dueby_planner.model.problem import Problem
from dueby_planner.model.rule import Rule
from dueby_planner.model.shares import cut_runs
from dueby_planner.profiles.pool import Pool, build_pool
from dueby_planner.replan import LagMemory, OngoingWorker, WorkerChange, finish_us, read_lag

PATIENCE_US = 60_000_000
PATIENCE_STEPS = 20
HUNG: Reason = "WorkerLost"
EDITED: Reason = "Edited"


def decide(view: JobView) -> Decision:
    """What to do about the job now; usually nothing."""
    if view.part_size and not missing_parts(view):
        return Decision(actions=(Finish(complete=True),))
    if view.now_us >= view.deadline_us and view.spec.on_deadline == "Stop":
        return Decision(actions=(Finish(complete=False),))
    if not any(view.counts.values()):  # every worker is lost, or waits in a queue, and there is no other device
        is_queued = any(worker.state == "queued" for worker in view.workers)
        return Decision(memory=view.memory, is_short=not is_queued)
    pool = build_pool(view.spec, view.profiles, view.counts, cost=view.cost, cpus=view.cpus)
    return _first_plan(view, pool) if view.revision == 0 else _watch(view, pool)


def missing_parts(view: JobView) -> list[int]:
    """Parts that are not in the sink, ascending."""
    grid = Grid(images=view.images, part_size=view.part_size or view.images)
    return [part for part in range(grid.parts) if part not in view.parts_there]


def images_left(view: JobView) -> int:
    """N_left: images in no part of the sink, nor classified in a running worker's open parts."""
    if not view.part_size:
        return view.images
    grid = Grid(images=view.images, part_size=view.part_size)
    there = grid.images_in(view.parts_there)
    opened = sum(worker.open_images for worker in view.workers if worker.state not in GONE)
    return max(0, view.images - there - opened)


def ongoing(view: JobView) -> list[OngoingWorker]:
    """The workers that are there, as the planner takes them: observed times where there are some."""
    away = {*GONE, "queued"}
    return [_ongoing(worker, view.now_us) for worker in view.workers if worker.state not in away]


def _first_plan(view: JobView, pool: Pool) -> Decision:
    problem = Problem(
        pool=pool,
        images=images_left(view),
        time_us=view.deadline_us - view.now_us,
        confidence=view.spec.planned_confidence,
        max_gpus=_most(view),
        objective=view.spec.objective,
        reserve=view.spec.gpus.reserve,
        max_iterations=view.spec.gpus.max_iterations,
        part_size=view.part_size,
    )
    verdict = _judge(problem, view)
    plan = verdict.plan
    if plan is None or verdict.action not in ("Start", "StartLate"):
        return Decision(actions=(Refuse(verdict=verdict),))
    frozen = view.part_size or plan.part_size
    grid = Grid(images=view.images, part_size=frozen)
    missing = [part for part in range(grid.parts) if part not in view.parts_there]
    assignments = _assign_plan(plan, missing)
    start = Start(
        assignments=assignments,
        part_size=frozen,
        reason="Resumed" if view.parts_there else "Started",
        verdict=verdict,
    )
    pause_us = _pause_us(group.choice.start_us for group in plan.groups)
    return Decision(
        actions=(start,),
        memory=LagMemory(quiet_until_us=view.now_us + pause_us),
        is_short=not plan.is_in_time,
        expected_finish_us=view.now_us + plan.expected_finish_us,
    )


def _judge(problem: Problem, view: JobView) -> Verdict:
    """The verdict; where there may be one class only, that of the class that needs the fewest devices."""
    groups = [group for group in problem.pool.groups if group.count]
    if not view.is_one_class or len(groups) < 2:
        return judge(problem, view.spec.deadline_class)
    alone = [replace(problem, pool=replace(problem.pool, groups=(group,))) for group in groups]
    return min((judge(each, view.spec.deadline_class) for each in alone), key=_preference)


def _preference(verdict: Verdict) -> tuple[bool, bool, int, int]:
    """In time first, then few devices, then early."""
    plan = verdict.plan
    return (plan is None, bool(verdict.infeasible), plan.gpus if plan else 0, plan.expected_finish_us if plan else 0)


def _watch(view: JobView, pool: Pool) -> Decision:
    there, left = ongoing(view), images_left(view)
    for workers, reason in ((_hung(view), HUNG), (_over_limit(view, there), EDITED)):
        if workers:
            return Decision(actions=(Stop(workers=workers, reason=reason),), memory=view.memory)
    if any(worker.state == "queued" for worker in view.workers):  # what is on its way is waited for
        rest_us = finish_us(there, left) if there else None
        return Decision(memory=view.memory, expected_finish_us=None if rest_us is None else view.now_us + rest_us)
    change = read_lag(
        there,
        _free(view, pool),
        rule=Rule(
            images=left,
            confidence=view.spec.planned_confidence,
            spreads=pool.spreads,
            reserve=view.spec.gpus.reserve,
            part_size=view.part_size,
        ),
        time_us=view.deadline_us - view.now_us,
        promised_us=min(view.promised_us or view.deadline_us, view.deadline_us) - view.now_us,
        max_added=_most_more(view, len(there)),
        now_us=view.now_us,
        pause_us=_pause_us(worker.assignment.choice.start_us for worker in view.workers),
        memory=view.memory,
        at_once=view.news is not None or not there,
        max_iterations=view.spec.gpus.max_iterations,
    )
    rest_us = finish_us(there, left)
    return Decision(
        actions=tuple(_actions(view, change)),
        memory=change.memory,
        is_short=change.is_short,
        expected_finish_us=None if rest_us is None else view.now_us + rest_us,
    )


def _actions(view: JobView, change: WorkerChange) -> list[Action]:
    if change.give_back:
        return [Stop(workers=(change.give_back,), reason=view.news or "Ahead")] if view.news != "WorkerLost" else []
    if not change.add:
        return []
    reason: Reason = view.news or "Lagging"
    return [Start(assignments=_assign_more(view, change.add), part_size=view.part_size or view.images, reason=reason)]


def _assign_plan(plan: Plan, missing: Sequence[int]) -> tuple[Assignment, ...]:
    """One worker per planned device, with runs of the missing parts in the ratio of what they are planned to do."""
    groups = [group for group in plan.groups for _ in range(group.count)]
    shares = cut_runs(missing, [group.images_each for group in groups])
    return tuple(
        Assignment(
            worker=f"w{i}",
            revision=1,
            device_class=group.device_class,
            choice=group.choice,
            iterations=group.iterations,
            share=share,
        )
        for i, (group, share) in enumerate(zip(groups, shares, strict=True))
    )


def _assign_more(view: JobView, added: Sequence[tuple[Capacity, int]]) -> tuple[Assignment, ...]:
    """Helpers beside the running workers, on what the lost ones left; with nothing left, on everybody's tails."""
    devices = [capacity for capacity, count in added for _ in range(count)]
    shares = cut_runs(_orphaned(view), [capacity.images for capacity in devices])
    return tuple(
        Assignment(
            worker=f"w{len(view.workers) + i}",
            revision=view.revision + 1,
            device_class=capacity.group.device_class,
            choice=capacity.choice,
            iterations=max(0, capacity.images // capacity.choice.mini_batch_size - 1),
            share=share,
        )
        for i, (capacity, share) in enumerate(zip(devices, shares, strict=True))
    )


def _orphaned(view: JobView) -> list[int]:
    """Missing parts that are in no living worker's share."""
    alive = [worker.assignment.share for worker in view.workers if worker.state not in GONE]
    return [part for part in missing_parts(view) if not any(share.first <= part < share.end for share in alive)]


def _ongoing(worker: WorkerView, now_us: int) -> OngoingWorker:
    choice = worker.assignment.choice
    latency_us = worker.step_us or choice.latency_us
    if worker.last_step_us is None:
        rest_us = max(0, worker.created_us + choice.expected_start_us - now_us)
    else:
        rest_us = max(0, worker.last_step_us + latency_us - now_us)
    return OngoingWorker(
        name=worker.assignment.worker,
        mini_batch_size=choice.mini_batch_size,
        latency_us=latency_us,
        rest_us=rest_us,
    )


def _free(view: JobView, pool: Pool) -> list[DeviceGroup]:
    """The pool without the devices that living workers have."""
    busy = [worker.assignment.device_class for worker in view.workers if worker.state not in GONE]
    return [
        DeviceGroup(
            device_class=group.device_class,
            count=max(0, group.count - busy.count(group.device_class)),
            choices=group.choices,
            available_us=group.available_us,
        )
        for group in at_confidence(pool.groups, view.spec.planned_confidence, run=0.0)
    ]


def _most_more(view: JobView, there: int) -> int:
    most = _most(view)
    return max(0, (sum(view.counts.values()) if most is None else most) - there)


def _most(view: JobView) -> int | None:
    """NGPU, the most devices that there may be: as the job says, and as there is room for."""
    return min((most for most in (view.spec.gpus.max, view.most) if most is not None), default=None)


def _hung(view: JobView) -> tuple[str, ...]:
    """Workers that show no sign of life: a step may take long, and a store's back-off, but not for ever."""
    hung = []
    for worker in view.workers:
        if worker.state in GONE or worker.state == "queued":
            continue
        choice = worker.assignment.choice
        since_us = worker.created_us if worker.last_step_us is None else worker.last_step_us
        usual_us = choice.start_us if worker.last_step_us is None else worker.step_us or choice.latency_us
        if view.now_us - since_us > PATIENCE_US + PATIENCE_STEPS * usual_us:
            hung.append(worker.assignment.worker)
    return tuple(hung)


def _over_limit(view: JobView, there: Sequence[OngoingWorker]) -> tuple[str, ...]:
    """The workers to stop after gpus.max was lowered, or classes were taken away: those that do least."""
    allowed = view.spec.gpus.classes
    barred = {w.assignment.worker for w in view.workers if allowed and w.assignment.device_class not in allowed}
    stopped = [worker.name for worker in there if worker.name in barred]
    kept = [worker for worker in there if worker.name not in barred]
    if view.spec.gpus.max is not None and len(kept) > view.spec.gpus.max:
        time_us = max(0, view.deadline_us - view.now_us)
        by_ability = sorted(kept, key=lambda worker: (worker.images_within(time_us), worker.name))
        stopped += [worker.name for worker in by_ability[: len(kept) - view.spec.gpus.max]]
    return tuple(stopped)


def _pause_us(starts_us: Iterable[int]) -> int:
    """2 (S + W): how long nothing changes after a change."""
    return 2 * max(starts_us, default=0)
