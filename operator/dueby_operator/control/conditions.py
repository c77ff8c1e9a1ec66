"""A job's status from what was seen and decided: conditions for programs, a phase and a sentence for people. Pure.

A condition keeps its transition time while its status stays, so that a second look at an unchanged cluster makes the
same document and nothing is written. Reasons are fixed words; docs/conditions.md says what to do about each.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Literal

from dueby_api.status import Phase
from dueby_api.units import format_count, format_duration, from_micros
from dueby_operator.control.model import GONE, Decision, JobView
from dueby_planner.answer import proof_sentence
from dueby_planner.deadline_classes import Verdict
from dueby_planner.model.plan import Infeasible, Plan

Truth = Literal["True", "False", "Unknown"]
Document = dict[str, Any]
MAX_REPLANS = 20


@dataclass(frozen=True, kw_only=True)
class Say:
    """A condition as it is now."""

    type: str
    status: Truth
    reason: str
    message: str = ""


def moment(micros: int) -> str:
    """RFC 3339 in UTC, to the second."""
    return from_micros(micros).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def merge_conditions(before: list[Document], said: list[Say], *, generation: int, now: str) -> list[Document]:
    """The conditions with what was said last; what nothing was said about stays."""
    old = {condition["type"]: condition for condition in before}
    for say in said:
        was = old.get(say.type)
        old[say.type] = {
            "type": say.type,
            "status": say.status,
            "reason": say.reason,
            "message": say.message,
            "lastTransitionTime": was["lastTransitionTime"] if was and was["status"] == say.status else now,
            "observedGeneration": generation,
        }
    return list(old.values())


def condition(status: Mapping[str, Any], kind: str) -> Document:
    """The condition of this type; empty where there is none."""
    return next((c for c in status.get("conditions", ()) if c["type"] == kind), {})


def is_true(status: Mapping[str, Any], kind: str) -> bool:
    """Whether the condition is there and true."""
    return bool(condition(status, kind).get("status") == "True")


def is_over(status: Mapping[str, Any]) -> bool:
    """Whether nothing more will be done for the job."""
    return is_true(status, "Complete") or is_true(status, "Failed")


def phase_of(status: Mapping[str, Any], *, suspended: bool, started: bool, running: bool, is_finishing: bool) -> Phase:
    """Where the job is, for people."""
    if is_true(status, "Failed"):
        return "Failed"
    if is_true(status, "Complete"):
        return "Succeeded"
    if suspended:
        return "Queued"
    if not is_true(status, "Indexed"):
        return "Indexing"
    profiled = condition(status, "Profiled")
    if profiled.get("status") == "False":
        return "Profiling" if profiled["reason"] == "Profiling" else "Pending"
    if is_finishing:
        return "Finishing"
    if condition(status, "Admitted").get("reason") in ("Queued", "QueueNotFound") and not running:
        return "Queued"
    if started:  # a worker that is replaced, or doesn't answer for a moment, doesn't set the job back
        return "Running" if running or status.get("phase") == "Running" else "Starting"
    return "Queued" if condition(status, "Feasible").get("reason") == "Waiting" else "Planning"


def plan_status(plan: Plan, *, now_us: int, revision: int) -> Document:
    """status.plan of a plan that begins now."""
    return {
        "revision": revision,
        "gpus": plan.gpus,
        "lowerBound": plan.lower_bound,
        "proof": plan.proof,
        "proofSentence": proof_sentence(plan),
        "confidence": plan.problem.confidence,
        "probability": round(plan.probability, 6),
        "partSize": plan.part_size,
        "solveMicros": plan.solve_us,
        "expectedFinish": moment(now_us + plan.expected_finish_us),
        "finishAtConfidence": moment(now_us + plan.finish_at_confidence_us),
        "slack": format_duration(plan.slack_us),
        "warnings": list(plan.warnings),
        "groups": [
            {
                "deviceClass": group.device_class,
                "engine": group.choice.engine,
                "count": group.count,
                "miniBatchSize": group.choice.mini_batch_size,
                "iterations": group.iterations,
                "profile": group.choice.profile,
                **({"interpolated": True} if group.choice.interpolation else {}),
            }
            for group in plan.groups
        ],
    }


def alternatives_status(infeasible: Infeasible, *, now_us: int) -> Document:
    """status.alternatives: what would do instead."""
    found = infeasible.alternatives
    document: Document = {
        "largestImages": found.largest_images,
        "extraGPUs": {name: count for name, count in found.extra_gpus.items() if count is not None},
    }
    if found.earliest_us is not None:
        document["earliestDeadline"] = moment(now_us + found.earliest_us)
    if found.possible_confidence is not None:
        document["possibleConfidence"] = found.possible_confidence
    return document


def feasible_condition(verdict: Verdict) -> Say:
    """Whether the deadline can be met, and what to do where it can't."""
    if verdict.infeasible is None:
        plan = verdict.plan
        told = f"{plan.gpus} devices: {proof_sentence(plan)}" if plan else ""
        return Say(type="Feasible", status="True", reason="Planned", message=told)
    infeasible = verdict.infeasible
    problem, found = infeasible.problem, infeasible.alternatives
    ways = [f"lower images to {found.largest_images:,}"] if found.largest_images else []
    if found.earliest_us is not None:
        ways.insert(0, f"move the deadline to {format_duration(found.earliest_us)} from now")
    ways += [f"add {count} more of {name}" for name, count in found.extra_gpus.items() if count]
    if found.possible_confidence is not None:
        ways.append(f"lower the confidence to {found.possible_confidence:g}")
    told = (
        f"All {problem.most} devices can do at most {found.largest_images:,} of {problem.images:,} images in "
        f"{format_duration(problem.time_us)} at confidence {problem.confidence:g}. Do one of: {'; '.join(ways)}."
    )
    reason = "Late" if verdict.plan else "DeadlineTooEarly"
    return Say(type="Feasible", status="False", reason=reason, message=told)


def progress_status(view: JobView, decision: Decision, *, done: int, failed: int, images_per_second: float) -> Document:
    """status.progress."""
    document: Document = {
        "images": f"{format_count(done)}/{format_count(view.images)}",
        "imagesDone": done,
        "imagesFailed": failed,
        "imagesPerSecond": round(images_per_second),
    }
    if decision.expected_finish_us is not None and any(worker.state not in GONE for worker in view.workers):
        document["expectedFinish"] = moment(decision.expected_finish_us)
        document["slack"] = format_duration(view.deadline_us - decision.expected_finish_us)
    return document


def message_of(status: Mapping[str, Any]) -> str:
    """The sentence that matters most now."""
    for kind in ("Failed", "Complete", "Admitted", "OnTrack", "Feasible", "Profiled", "Indexed"):
        found = condition(status, kind)
        wanted = "True" if kind in ("Failed", "Complete") else "False"
        if found.get("status") == wanted and found.get("message"):
            return str(found["message"])
    return str(status.get("plan", {}).get("proofSentence", ""))
