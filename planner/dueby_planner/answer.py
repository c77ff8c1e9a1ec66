"""A verdict as `dueby plan -o json` prints it and as a run keeps it, and as sentences for people."""

from typing import Any

from dueby_api.units import MICROS_PER_SECOND, Seconds, format_duration
from dueby_planner.deadline_classes import Verdict
from dueby_planner.model.plan import Infeasible, Plan, PlanGroup


def seconds(micros: int | None) -> Seconds | None:
    """Microseconds as they are written."""
    return None if micros is None else Seconds(micros / MICROS_PER_SECOND)


def answer_document(verdict: Verdict) -> dict[str, Any]:
    """The answer in the field names of `dueby plan -o json`."""
    plan, infeasible = verdict.plan, verdict.infeasible
    decided = infeasible or plan
    if decided is None:
        raise ValueError("a verdict has a plan, or says why there is none")
    problem = decided.problem
    return {
        "feasible": infeasible is None,
        "gpus": plan.gpus if plan else None,
        "lowerBound": plan.lower_bound if plan else None,
        "proof": decided.proof,
        "confidence": problem.confidence,
        "probability": plan.probability if plan else None,
        "partSize": plan.part_size if plan else None,
        "images": problem.images,
        "planned": plan.planned_images if plan else None,
        "expectedSeconds": seconds(plan.expected_finish_us) if plan else None,
        "slackSeconds": seconds(plan.slack_us) if plan else None,
        "groups": [_group_document(group) for group in plan.groups] if plan else [],
        "alternatives": _alternatives_document(infeasible) if infeasible else None,
        "warnings": list(plan.warnings if plan else problem.pool.warnings),
    }


def proof_sentence(plan: Plan) -> str:
    """Why no fewer devices can do it."""
    what = device_word(plan)
    if plan.gpus == 1:
        return f"No plan has fewer than 1 {what(1)}."
    fewer = plan.gpus - 1
    if not plan.is_in_time:
        ends = format_duration(plan.finish_at_confidence_us)
        none = f"No single {what(1)} of this pool ends" if fewer == 1 else f"No {fewer:,} {what(2)} of this pool end"
        return f"{none} within {ends}, as these {plan.gpus:,} do."
    return f"{fewer:,} {what(fewer)} can do at most {plan.most_of_fewer:,} of {plan.problem.images:,} by then."


def device_word(plan: Plan) -> Any:
    """`GPU` or `CPU slice`, in the number that is asked for."""
    word = "GPU" if plan.problem.pool.is_gpu else "CPU slice"
    return lambda count: word if count == 1 else word + "s"


def _group_document(group: PlanGroup) -> dict[str, Any]:
    return {
        "deviceClass": group.device_class,
        "engine": group.choice.engine,
        "count": group.count,
        "miniBatchSize": group.choice.mini_batch_size,
        "iterations": group.iterations,
        **({"interpolated": True} if group.choice.filled_in else {}),
    }


def _alternatives_document(infeasible: Infeasible) -> dict[str, Any]:
    found = infeasible.alternatives
    return {
        "earliestDeadlineSeconds": seconds(found.earliest_us),
        "largestImages": found.largest_images,
        "extraGPUs": found.extra_gpus,
        "possibleConfidence": found.possible_confidence,
    }
