"""The end of a run: summary.json, which the report reads, the last lines on the screen, and why a job is Failed."""

import shlex
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from dueby.local.process import Process
from dueby.local.record import Record
from dueby.terminal.console import Teller
from dueby_api.inference_job import InferenceJob, JobSpec
from dueby_api.run_record import MachineRecord, RunVerdict, Summary
from dueby_api.step_messages import HIGH_INPUT_WAIT, FinishResult, mean_input_wait
from dueby_api.units import MICROS_PER_SECOND, format_duration
from dueby_api.words import counted, faults
from dueby_planner.deadline_classes import Verdict
from dueby_worker.engines.host import installed_versions
from dueby_worker.storage.store import Store

# Errors of a job with too many.
_MAX_ERRORS = 3


def summarise(
    job: InferenceJob,
    record: Record,
    *,
    now_us: int,
    verdict: Verdict | None,
    done: int,
    failed: int,
    warned: int | None,
    unlisted: str,
    interrupted: bool,
    processes: Sequence[Process],
    machine: MachineRecord,
    cost: str | None = None,
) -> Summary:
    """Return the content of summary.json. All times are seconds from the run's start."""
    plan = verdict.plan if verdict else record.by_windows
    reports = [process.progress for process in processes]
    input_wait = mean_input_wait(reports)
    observed = sum(report.observed_requests_per_second or 0.0 for report in reports)
    in_time = now_us <= record.deadline_us
    too_many = job.spec.why_too_many(images=record.images, failed=failed)
    word: RunVerdict = "Succeeded" if in_time and done == record.images else "Late"
    if interrupted or too_many:
        word = "Interrupted" if interrupted else "Failed"
    return Summary(
        job=job.metadata.name,
        images=record.images,
        images_done=done,
        images_failed=failed,
        images_warned=warned,
        unlisted=unlisted or None,
        start_unix_micros=record.start_us,
        deadline_seconds=record.at(record.deadline_us),
        expected_seconds=record.expected_s,
        finish_at_confidence_seconds=record.at_confidence_s,
        actual_seconds=record.at(now_us),
        in_time=in_time,
        verdict=word,
        confidence=job.spec.planned_confidence,
        probability=plan.probability if plan else None,
        gpus=plan.gpus if plan else len(processes),
        replans=tuple(record.replans),
        model=job.spec.model,
        weights_warning=WEIGHTS_WARNING if job.spec.model.weights == "none" else None,
        input_wait=None if input_wait is None else round(input_wait, 3),
        observed_requests_per_second=round(observed, 1) or None,
        software=installed_versions(_SOFTWARE),
        machine=machine,
        cost=cost,
        # Who presses Ctrl-C doesn't wait for it.
        curve=None if interrupted else record.curve(job.metadata.name),
        warnings=plan.warnings if plan else (),
    )


WEIGHTS_WARNING = "the model has random weights: the results mean nothing"
# Packages whose versions change how fast a run is, or what it answers.
_SOFTWARE = ("dueby", "torch", "torchvision", "openvino", "ncnn", "pillow", "simplejpeg", "timm", "transformers")


def print_summary(summary: Summary, sink: str, console: Console, *, prefix: str = "") -> None:
    """Print how the run ended, and where the results and the report are. The prefix names the job, if need be."""
    style = {"Succeeded": "bold green", "Interrupted": "bold yellow"}.get(summary.verdict or "", "bold red")
    faulty = faults(summary.images_failed or 0, summary.images_warned or 0)
    console.print(
        Text.assemble(
            prefix,
            (summary.verdict or "", style),
            f": {summary.images_done:,} of {counted(summary.images or 0, 'image')}{faulty}{_times(summary)}.",
        )
    )
    if sentence := _waiting(summary):
        console.print(Text(sentence))
    if summary.cost:
        console.print(Text(f"Cost: {summary.cost}."))
    if summary.weights_warning:
        console.print(Text(f"Warning: {summary.weights_warning}.", style="bold red"))
    _print_places(sink, console)


def print_complete(job: InferenceJob, closed: FinishResult, console: Console, *, prefix: str = "") -> Summary:
    """Print that there was nothing to do, and return the summary. The prefix names the job, if need be."""
    failed = bool(job.spec.why_too_many(images=closed.rows, failed=closed.errors))
    faulty = faults(closed.errors, closed.warnings)
    console.print(
        Text.assemble(
            prefix,
            ("Failed", "bold red") if failed else ("Succeeded", "bold green"),
            f": every part is in the sink already; nothing to do. {counted(closed.rows, 'row')}{faulty}.",
        )
    )
    _print_places(job.spec.sink.uri, console)
    return Summary(
        job=job.metadata.name,
        images=closed.rows,
        images_done=closed.rows,
        images_failed=closed.errors,
        images_warned=closed.warnings,
        verdict="Failed" if failed else "Succeeded",
        model=job.spec.model,
    )


def _print_places(sink: str, console: Console) -> None:
    # In lines of their own that are never broken, so that they can be copied into a shell.
    console.print(Text(f"Results: {sink}"), soft_wrap=True)
    console.print(Text(f"Report:  dueby report {shlex.quote(sink)}"), soft_wrap=True)


def _waiting(summary: Summary) -> str:
    """Return how much of their time the workers waited for images; empty if that was little."""
    if summary.input_wait is None or summary.input_wait < HIGH_INPUT_WAIT:
        return ""
    rate = summary.observed_requests_per_second
    store = "" if rate is None else f", whose store gave {counted(round(rate), 'request')} a second and refused more"
    return f"The workers waited for images in {summary.input_wait:.0%} of their time{store}."


def _times(summary: Summary) -> str:
    """Return when the run ended, and when it should have; a run that found nothing to do had no plan to expect."""
    times = {
        "after": summary.actual_seconds,
        "expected": summary.expected_seconds,
        "deadline": summary.deadline_seconds,
    }
    after, *others = (f"{word} {_duration(value_s)}" for word, value_s in times.items() if value_s is not None)
    return f", {after} ({', '.join(others)})" if others else f", {after}"


def _duration(value_s: float) -> str:
    return format_duration(max(0, round(value_s * MICROS_PER_SECOND)))


def tell_failures(spec: JobSpec, *, images: int, failed: int, sink: Store, teller: Teller) -> None:
    """Print why a job with too many failed images is Failed, and what to do; nothing if the job allows so many."""
    sentence = spec.why_too_many(images=images, failed=failed)
    if not sentence:
        return
    # pyarrow takes a third of a second to import, and few jobs fail.
    from dueby.report.parts import find_parts, read_failed
    from dueby_worker.output.part_names import generation_in

    teller.say(sentence)
    names = sink.list_names()
    newest = max(map(generation_in, names), default=1)
    parts = find_parts(name for name in names if generation_in(name) == newest)
    for image in read_failed(parts, sink, most=_MAX_ERRORS):
        teller.say(f"  {image.uri}: {image.error}")
    if failed > _MAX_ERRORS:
        teller.say(f"  and {failed - _MAX_ERRORS:,} more; the column error of the results has them all")
    teller.say(
        "To accept them, raise spec.maxFailedImages and run the same command again. "
        "To classify them once they are fixed, add --retry-failed."
    )
