"""One job's plan as a page: what the table in a terminal says, with its devices over time."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from dueby import plan_words
from dueby.plan_words import advise_deadline
from dueby_api.inference_job import InferenceJob
from dueby_api.units import MICROS_PER_SECOND
from dueby_api.words import capital
from dueby_pages.calendar import ShownCalendar, ShownHold, ShownJob, ShownPool, ShownTable, work_words
from dueby_planner.answer import device_word
from dueby_planner.deadline_classes import Verdict
from dueby_planner.model.plan import Plan, PlanGroup
from dueby_planner.model.problem import Problem


def shown_verdict(job: InferenceJob, verdict: Verdict, *, now_us: int) -> ShownCalendar:
    """Return the verdict on a job that would be started now, as it is shown on a page."""
    plan, infeasible = verdict.plan, verdict.infeasible
    decided = infeasible or plan
    if decided is None:
        raise ValueError("the verdict has neither a plan nor a reason why there is none")
    problem = decided.problem
    tables, why = [], ""

    def advise(earliest_us: int) -> str:
        return advise_deadline(job.spec, earliest_us, now_us=now_us, start_us=now_us)

    if infeasible:
        why = f"{plan_words.INFEASIBLE}: {plan_words.why_infeasible(infeasible, advise)}"
        if ways := plan_words.ways_out(infeasible, advise):
            tables.append(ShownTable(heading=plan_words.WAYS_OUT.rstrip(":"), rows=ways))
    if plan:
        heading = plan_words.LATE_PLAN.rstrip(":") if infeasible else "Plan"
        text_columns = frozenset(plan_words.TEXT_COLUMNS)
        tables.append(
            ShownTable(
                heading=heading,
                columns=plan_words.GROUP_COLUMNS,
                rows=plan_words.group_rows(plan),
                text_columns=text_columns,
            )
        )
    told = plan_words.when(plan) if plan else "nothing would be started."
    return ShownCalendar(
        now_us=now_us,
        jobs=(_shown_job(job, verdict, problem, why=why),),
        pool=_shown_pool(problem, plan),
        device=device_word(problem.pool),
        title=plan_words.what_for(plan) if plan else f"No plan for {job.metadata.name}",
        story=capital(told),
        notes=(
            *(_sentences(plan) if plan else ()),
            *((plan_words.ASSUMED,) if problem.pool.is_assumed else ()),
        ),
        warnings=plan.warnings if plan else problem.pool.warnings,
        tables=tuple(tables),
    )


def _sentences(plan: Plan) -> Iterator[str]:
    words = plan_words.odds(plan), plan_words.feeding(plan), *plan_words.costs(plan), plan_words.proof(plan)
    return filter(None, words)


def _shown_job(job: InferenceJob, verdict: Verdict, problem: Problem, *, why: str) -> ShownJob:
    plan = verdict.plan
    shown = ShownJob(
        name=job.metadata.name,
        deadline_class=job.spec.deadline_class,
        state=verdict.action,
        deadline_s=_seconds(problem.time_us),
        confidence=problem.confidence,
        is_refused=plan is None,
        sentence=why,
    )
    if plan is None:
        return shown
    holds = tuple(_hold(group) for group in plan.groups)
    return replace(
        shown,
        starts_s=min(hold.from_s for hold in holds),
        expected_s=_seconds(plan.expected_finish_us),
        sure_s=_seconds(plan.finish_at_confidence_us),
        slack_s=_seconds(plan.slack_us),
        gpus=plan.gpus,
        holds=holds,
    )


def _hold(group: PlanGroup) -> ShownHold:
    work = work_words(
        images=group.count * group.images_each,
        mini_batch_size=group.choice.mini_batch_size,
        engine=group.choice.engine,
    )
    return ShownHold(
        device_class=group.device_class,
        from_s=_seconds(group.available_us),
        to_s=_seconds(group.expected_finish_us),
        count=group.count,
        work=work,
    )


def _shown_pool(problem: Problem, plan: Plan | None) -> tuple[ShownPool, ...]:
    devices, peaks = Counter[str](), Counter[str]()
    for group in problem.pool.groups:
        devices[group.device_class] += group.count
    for planned in plan.groups if plan else ():
        peaks[planned.device_class] += planned.count
    return tuple(ShownPool(device_class=name, devices=count, peak=peaks[name]) for name, count in devices.items())


def _seconds(micros: int) -> float:
    return micros / MICROS_PER_SECOND
