"""decide_workers(model) -> WorkDecision: which workers to start or stop now; usually none. Pure.

    nothing left, or too late to go on     nothing: the finish policy ends the job
    no plan yet                            the plan, or a refusal              (first_plan, deadline_classes.judge)
    a plan                                 more workers, one fewer, or nothing (watch, replan.read_lag)

A lost worker leaves nothing to repair: parts are the unit of commit, and whoever is done takes over its tail. The only
question is whether the workers that are left will be in time.
"""

from dataclasses import replace

from dueby_operator.control.work.decision import WorkDecision
from dueby_operator.control.work.first_plan import plan_first
from dueby_operator.control.work.watch import watch, watch_alone
from dueby_operator.model.job_model import JobModel


def decide_workers(model: JobModel) -> WorkDecision:
    """Return what to do about the job's workers now. Raise Invalid if its profiles or its pool can't be planned on."""
    if model.is_complete or model.must_stop:
        return WorkDecision()
    if not any(model.counts.values()):
        return watch_alone(model)
    pool = model.pool(model.counts)
    pool = replace(pool, warnings=(*pool.warnings, *model.warnings))
    return plan_first(model, pool) if model.revision == 0 else watch(model, pool)
