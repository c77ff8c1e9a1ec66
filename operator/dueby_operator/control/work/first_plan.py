"""A job's first plan: the verdict of its deadline class, and who does which parts. Pure."""

from dataclasses import replace
from fractions import Fraction

from dueby_api.inference_job import DeadlineClass
from dueby_operator.control.work.assign import assign_plan
from dueby_operator.control.work.decision import Refuse, Start, WorkDecision
from dueby_operator.control.work.watch import max_workers, pause_us
from dueby_operator.model.job_model import JobModel
from dueby_planner.calendar.rest import LATER
from dueby_planner.deadline_classes import Verdict, judge
from dueby_planner.model.problem import Problem
from dueby_planner.profiles.pool import Pool
from dueby_planner.replan import LagMemory

# A late job has the fewest devices that end within this share of the earliest end.
SLOWER = Fraction(1, LATER)


def plan_first(model: JobModel, pool: Pool) -> WorkDecision:
    """Return the start of the plan, or the refusal."""
    verdict = _judge(_problem_of(model, pool), model)
    plan = verdict.plan
    if plan is None or verdict.action not in ("Start", "StartLate"):
        return WorkDecision(action=Refuse(verdict=verdict))
    start = Start(
        assignments=assign_plan(model, plan),
        # A sink that was begun before keeps its grid.
        part_size=model.part_size or plan.part_size,
        reason="Resumed" if model.parts_there else "Started",
        verdict=verdict,
    )
    quiet_us = pause_us(group.choice.start_us for group in plan.groups)
    return WorkDecision(
        action=start,
        lag=LagMemory(quiet_until_us=model.now_us + quiet_us),
        is_short=not plan.is_in_time,
        expected_finish_us=model.now_us + plan.expected_finish_us,
    )


def _problem_of(model: JobModel, pool: Pool) -> Problem:
    gpus = model.spec.gpus
    return Problem(
        pool=pool,
        images=model.images_left,
        time_us=model.deadline_us - model.now_us,
        confidence=model.spec.planned_confidence,
        objective=model.spec.objective,
        max_gpus=max_workers(model),
        reserve=gpus.reserve,
        max_iterations=gpus.max_iterations,
        part_size=model.part_size,
        max_part=model.spec.output.max_part,
    )


def _judge(problem: Problem, model: JobModel) -> Verdict:
    """Return the verdict; if only one class may be used, that of the class that needs the fewest devices."""
    # What Relaxed and BestEffort jobs may have is idle, and they start on it like Soft ones. So does a Hard job whose
    # workers are gone: it goes on, however late.
    found: DeadlineClass = "Hard" if model.spec.deadline_class == "Hard" and not model.has_started else "Soft"
    groups = [group for group in problem.pool.groups if group.count]
    if not model.is_one_class or len(groups) < 2:
        return judge(problem, found, slower=SLOWER)
    alone = [replace(problem, pool=replace(problem.pool, groups=(group,))) for group in groups]
    return min((judge(each, found, slower=SLOWER) for each in alone), key=_preference)


def _preference(verdict: Verdict) -> tuple[bool, bool, int, int]:
    """Order verdicts: a plan first, then in time, then few devices, then an early finish."""
    plan = verdict.plan
    return (plan is None, bool(verdict.infeasible), plan.gpus if plan else 0, plan.expected_finish_us if plan else 0)
