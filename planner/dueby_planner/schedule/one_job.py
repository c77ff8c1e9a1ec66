"""decide_workers(job) -> WorkDecision: which workers to start or stop now, whatever other jobs do; usually none.

    nothing left, or too late to go on     nothing: the finish policy ends the job
    no plan yet                            the plan, or a refusal              (plan_first, deadline_classes.judge)
    a plan                                 more workers, one fewer, or nothing (watch.py, lag.read_lag)

A lost worker leaves nothing to repair: parts are the unit of commit, and whoever is done takes over its tail. The only
question is whether the workers that are left will be in time.
"""

from dataclasses import replace
from fractions import Fraction

from dueby_api.inference_job import DeadlineClass
from dueby_planner.deadline_classes import Verdict, judge
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.pool import Pool
from dueby_planner.schedule.calendar import LATER
from dueby_planner.schedule.job import ScheduledJob
from dueby_planner.schedule.lag import LagMemory
from dueby_planner.schedule.request import Refuse, Start, WorkDecision
from dueby_planner.schedule.watch import assign_plan, max_workers, pause_us, watch, watch_alone

# A late job has the fewest devices that end within this share of the earliest end.
SLOWER = Fraction(1, LATER)


def plan_first(job: ScheduledJob, pool: Pool) -> WorkDecision:
    """Return the start of the plan, or the refusal."""
    verdict = _judge(_problem_of(job, pool), job)
    plan = verdict.plan
    if plan is None or verdict.action not in ("Start", "StartLate"):
        return WorkDecision(action=Refuse(verdict=verdict))
    start = Start(
        assignments=assign_plan(job, plan),
        # A sink that was begun before keeps its grid.
        part_size=job.part_size or plan.part_size,
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


def _problem_of(job: ScheduledJob, pool: Pool) -> Problem:
    gpus = job.spec.gpus
    return Problem(
        pool=pool,
        images=job.images_left,
        time_us=job.deadline_us - job.now_us,
        confidence=job.spec.planned_confidence,
        objective=job.spec.objective,
        max_gpus=max_workers(job),
        reserve=gpus.reserve,
        max_iterations=gpus.max_iterations,
        part_size=job.part_size,
        max_part=job.spec.output.max_part,
        feed=job.feed,
    )


def _judge(problem: Problem, job: ScheduledJob) -> Verdict:
    """Return the verdict; if only one class may be used, that of the class that needs the fewest devices."""
    # What Relaxed and BestEffort jobs may have is idle, and they start on it like Soft ones. So does a Hard job whose
    # workers are gone: it goes on, however late.
    found: DeadlineClass = "Hard" if job.spec.deadline_class == "Hard" and not job.had_workers else "Soft"
    groups = [group for group in problem.pool.groups if group.count]
    if not job.is_queued or len(groups) < 2:
        return judge(problem, found, slower=SLOWER)
    alone = [replace(problem, pool=replace(problem.pool, groups=(group,))) for group in groups]
    return min((judge(each, found, slower=SLOWER) for each in alone), key=_preference)


def _preference(verdict: Verdict) -> tuple[bool, bool, int, int]:
    """Order verdicts: a plan first, then in time, then few devices, then an early finish."""
    plan = verdict.plan
    return (plan is None, bool(verdict.infeasible), plan.gpus if plan else 0, plan.expected_finish_us if plan else 0)


def decide_workers(job: ScheduledJob) -> WorkDecision:
    """Return what to do about the job's workers now. Raise Invalid if its profiles or its pool can't be planned on."""
    if job.is_complete or job.must_stop:
        return WorkDecision()
    if not any(job.counts.values()):
        return watch_alone(job)
    pool = job.pool(job.counts)
    pool = replace(pool, warnings=(*pool.warnings, *job.warnings))
    return plan_first(job, pool) if job.revision == 0 else watch(job, pool)
