"""A profile as a table for people, with a row for each mini-batch size."""

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from dueby.terminal.tables import Column, fitted_table
from dueby_api.engines import runs_on_cpu
from dueby_api.gpu_profile import GPUProfile
from dueby_api.start_parts import mean_parts, start_words
from dueby_api.units import MICROS_PER_SECOND, format_duration
from dueby_api.words import counted
from dueby_planner.profiles.observed import summarize_provision

HEADINGS = ("BATCH", "STEP L", "P95", "IMAGES/S", "WARM-UP W", "MEMORY", "STEPS")


def print_profile(profile: GPUProfile, console: Console) -> None:
    """Print what was measured, and the facts that hold for every size."""
    columns = [
        Column(heading=heading, cells=cells) for heading, *cells in zip(HEADINGS, *rows_of(profile), strict=True)
    ]
    console.print()
    console.print(Text(title_of(profile), style="bold"))
    console.print(fitted_table(columns, width=console.width))
    console.print(Text(facts_of(profile)))


def title_of(profile: GPUProfile) -> str:
    """Return what the profile is about."""
    spec = profile.spec
    slices = f", {spec.device.slices} side by side" if (spec.device.slices or 1) > 1 else ""
    model = f"{spec.model.name}, {spec.model.image_size} px, {spec.model.precision}, {spec.engine}"
    return f"{spec.device_class}{slices}: {model}"


def rows_of(profile: GPUProfile) -> list[tuple[str, ...]]:
    """Return a row of HEADINGS for each mini-batch size."""
    return [
        (
            f"{step.mini_batch_size:,}",
            _milliseconds(step.latency_micros.mean),
            _milliseconds(step.latency_micros.p95),
            f"{step.mini_batch_size * MICROS_PER_SECOND / step.latency_micros.mean:,.1f}",
            _milliseconds(step.warmup_micros.p50 if step.warmup_micros else None),
            f"{step.memory_mib:,} MiB" if step.memory_mib else "",
            f"{step.samples:,}" if step.samples else "",
        )
        for step in profile.spec.steps
    ]


def facts_of(profile: GPUProfile) -> str:
    """Return what holds for every size."""
    return ", ".join(_facts(profile))


def _facts(profile: GPUProfile) -> Iterator[str]:
    spec = profile.spec
    if spec.startup_micros:
        yield f"start-up S {format_duration(spec.startup_micros.p50)} (p95 {format_duration(spec.startup_micros.p95)})"
    if parts := mean_parts(job.start_parts or {} for job in spec.observed):
        yield f"in jobs: {start_words(parts)}"
    for pool, (count, times) in summarize_provision(spec).items():
        took = f"{format_duration(times.p50)} (p95 {format_duration(times.p95)})"
        yield f"{counted(count, 'node')} of the pool {pool} came after {took}"
    yield f"MB {spec.max_mini_batch_size:,}{' (extrapolated)' if spec.extrapolated else ''}"
    if spec.spread.run is not None:
        yield f"spread between runs {spec.spread.run:.1%}"
    if spec.latency_fit:
        yield f"L between these sizes: {spec.latency_fit.kind}, standard error {spec.latency_fit.error:.1%}"
    # Above 1, since a model that decoding doesn't slow down is the normal case and not worth a word.
    if spec.contention > 1:
        alone = "model and decoding in sum" if runs_on_cpu(spec.engine) else "alone"
        yield f"while decoding, {spec.contention:.2f} times as slow as {alone}"
    if spec.serial_micros:
        rate = MICROS_PER_SECOND / spec.serial_micros
        yield f"a worker reads at most {rate:,.0f} images/s, however many cores decode"
    if spec.agreement:
        yield spec.agreement.sentence
    if spec.processes:
        yield counted(spec.processes, "process", "processes")


def _milliseconds(micros: int | None) -> str:
    return "" if micros is None else f"{micros / 1000:,.1f} ms"
