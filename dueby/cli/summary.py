"""The end of a run: expected against actual, where the results are, and the document that the report reads."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from dueby.cli.tables import people_console
from dueby.local.processes import Process
from dueby.local.record import Record
from dueby_api.inference_job import InferenceJob
from dueby_api.units import MICROS_PER_SECOND, format_duration, parse_duration_us
from dueby_operator.control.model import JobView
from dueby_planner.deadline_classes import Verdict

EXIT_LATE = 4


def summary_document(
    job: InferenceJob,
    view: JobView,
    record: Record,
    *,
    verdict: Verdict | None,
    done: int,
    failed: int,
    interrupted: bool,
    processes: Sequence[Process],
    machine: Mapping[str, Any],
) -> dict[str, Any]:
    """summary.json of a run's folder. All times are seconds from the run's start."""
    plan = verdict.plan if verdict else None
    actual_us = view.now_us - record.start_us
    in_time = view.now_us <= record.deadline_us
    too_many = failed > job.spec.allowed_failures(view.images)
    if interrupted:
        word = "Interrupted"
    elif too_many:
        word = "Failed"
    else:
        word = "Succeeded" if in_time and done == view.images else "Late"
    return {
        "job": job.metadata.name,
        "images": view.images,
        "imagesDone": done,
        "imagesFailed": failed,
        "startUnixMicros": record.start_us,
        "deadlineSeconds": record.at(record.deadline_us),
        "expectedSeconds": record.expected_s,
        "finishAtConfidenceSeconds": record.at_confidence_s,
        "actualSeconds": round(actual_us / MICROS_PER_SECOND, 3),
        "inTime": in_time,
        "verdict": word,
        "confidence": job.spec.planned_confidence,
        "probability": plan.probability if plan else None,
        "gpus": plan.gpus if plan else len(processes),
        "replans": record.replans,
        "model": job.spec.model.document(),
        "weightsWarning": WEIGHTS_WARNING if job.spec.model.weights == "none" else None,
        "machine": dict(machine),
        "warnings": list(plan.warnings) if plan else [],
    }


WEIGHTS_WARNING = "the model has random weights: the results mean nothing"


def print_summary(summary: Mapping[str, Any], sink: str) -> None:
    """The last words of `dueby run`."""
    console = people_console(stderr=True)
    style = {"Succeeded": "bold green", "Interrupted": "bold yellow"}.get(summary["verdict"], "bold red")
    failed = summary["imagesFailed"]
    unreadable = f", {failed:,} of them with an error" if failed else ""
    actual, expected, deadline = (_seconds(summary[f"{name}Seconds"]) for name in ("actual", "expected", "deadline"))
    console.print(
        Text.assemble(
            (summary["verdict"], style),
            f": {summary['imagesDone']:,} of {summary['images']:,} images{unreadable}, after {actual} "
            f"(expected {expected}, deadline {deadline}).",
        )
    )
    if summary["weightsWarning"]:
        console.print(Text(f"Warning: {summary['weightsWarning']}.", style="bold red"))
    console.print(Text(f"Results: {sink}   Report: dueby report {sink}"))


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else format_duration(parse_duration_us(f"{max(0.0, value):.6f}s"))
