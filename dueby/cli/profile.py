"""`dueby profile`: measure this machine and write GPUProfiles.

What happens is shown on stderr: on a terminal a bar with the time left, elsewhere a line for each new phase; and what
was chosen, left out or is in doubt stays as sentences. At the end a table of what was measured, and the files.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from dueby.cli.files import write_profile
from dueby.cli.tables import people_console
from dueby_api.engines import EngineName, Precision
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_api.schema import validate
from dueby_api.units import format_duration
from dueby_profiler.files import write_text

if TYPE_CHECKING:
    from dueby_profiler.machine.machine import Machine
    from dueby_profiler.monitor.monitor import Monitor
    from dueby_profiler.progress_listener import ProgressListener

# The bar is drawn by the same cores that are being measured.
_REFRESHES_PER_S = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dueby profile`."""
    parser.add_argument(
        "--model", default="efficientnet_b0", metavar="NAME", help="the classifier (default: %(default)s)"
    )
    parser.add_argument(
        "--weights",
        default="none",
        help="as in a job; the default is none, random ones, since they make no difference to the time",
    )
    add_subject_arguments(parser)
    parser.add_argument(
        "--class",
        action="append",
        default=[],
        dest="classes",
        metavar="CLASS",
        help="measure this device class only, such as cpu-1; may be repeated (default: all that the machine has)",
    )
    parser.add_argument("--quick", action="store_true", help="45 s instead of up to 3 minutes; less sure of the spread")
    parser.add_argument(
        "--memory-map",
        action="store_true",
        help="measure only the memory over several image and mini-batch sizes, for a figure (under 3 minutes)",
    )
    parser.add_argument(
        "--monitor",
        action="store_true",
        help="watch machine, processes and GPUs meanwhile, and write what was seen, as Parquet, into DIR/monitor",
    )
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="folder for the profiles")


def add_subject_arguments(parser: argparse.ArgumentParser) -> None:
    """How the model is measured, whichever it is."""
    parser.add_argument("--image-size", type=int, default=224, metavar="PIXELS", help="side (default: %(default)s)")
    parser.add_argument("--precision", choices=get_args(Precision), default="fp32", help="(default: %(default)s)")
    parser.add_argument(
        "--engine", choices=("auto", *get_args(EngineName)), default="auto", help="auto: the fastest (default)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and write; 0."""
    model = _model(arguments)
    if arguments.memory_map:
        if arguments.monitor:
            raise Invalid("--monitor", "watches a profile being measured, and --memory-map measures none; choose one")
        measure_memory(model, arguments.output, classes=arguments.classes)
    else:
        measure(
            model,
            arguments.output,
            quick=arguments.quick,
            classes=arguments.classes,
            monitored=arguments.monitor,
        )
    return 0


def measure(
    model: Model,
    folder: Path,
    *,
    quick: bool,
    classes: Sequence[str] = (),
    monitored: bool = False,
) -> list[GPUProfile]:
    """Measure this machine with the model, write its profiles into the folder, and say on stderr what came of it."""
    from dueby.local.this_machine import cache_folder
    from dueby_profiler.machine.machine import this_machine
    from dueby_profiler.presets import FULL, QUICK
    from dueby_profiler.profiling import profile_machine

    console = people_console(stderr=True)
    require_folder(folder)
    machine = this_machine()
    with ExitStack() as stack:
        listener = stack.enter_context(watch(console))
        monitor = stack.enter_context(_monitor(folder, model, machine, listener)) if monitored else None
        profiles = profile_machine(
            model=model,
            machine=machine,
            preset=QUICK if quick else FULL,
            classes=classes,
            listener=listener,
            cache_dir=cache_folder(),
            monitor=monitor,
        )
    paths = [write_profile(profile, folder) for profile in profiles]
    for profile in profiles:
        print_profile(profile, console)
    for path in paths:
        console.print(Text(f"Written: {path}"))
    return profiles


def measure_memory(model: Model, folder: Path, *, classes: Sequence[str] = ()) -> Path:
    """Measure this machine's memory map with the model and write it into the folder."""
    from dueby_profiler.machine.machine import this_machine
    from dueby_profiler.measuring.memory_map import map_memory

    console = people_console(stderr=True)
    require_folder(folder)
    with watch(console) as listener:
        found = map_memory(model=model, machine=this_machine(), classes=classes, listener=listener)
    for cell in found.cells:
        size = f"{cell.memory_mib:,} MiB" if cell.memory_mib else "does not fit"
        console.print(Text(f"{cell.image_size:>5} px, mini-batches of {cell.mini_batch_size:>4}: {size}"))
    path = write_text(folder / f"{found.name}.json", json.dumps(found.document(), indent=1) + "\n")
    console.print(Text(f"Written: {path}"))
    return path


def print_profile(profile: GPUProfile, console: Console) -> None:
    """The profile as a table."""
    spec = profile.spec
    slices = f", {spec.device.slices} side by side" if (spec.device.slices or 1) > 1 else ""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("BATCH", "STEP L", "P95", "IMAGES/S", "WARM-UP W", "MEMORY", "STEPS"):
        table.add_column(heading, justify="right", no_wrap=True)
    for step in spec.steps:
        latency, warmup = step.latency_micros, step.warmup_micros
        table.add_row(
            f"{step.mini_batch_size:,}",
            _milliseconds(latency.mean),
            _milliseconds(latency.p95),
            f"{step.mini_batch_size * 1e6 / latency.mean:,.1f}",
            _milliseconds(warmup.p50 if warmup else None),
            f"{step.memory_mib:,} MiB" if step.memory_mib else "",
            f"{step.samples:,}" if step.samples else "",
        )
    console.print()
    model = f"{spec.model.name}, {spec.model.image_size} px, {spec.model.precision}, {spec.engine}"
    console.print(Text(f"{spec.device_class}{slices}: {model}", style="bold"))
    console.print(table)
    console.print(Text(", ".join(_facts(profile))))


def _facts(profile: GPUProfile) -> Iterator[str]:
    spec = profile.spec
    if spec.startup_micros:
        yield f"start-up S {format_duration(spec.startup_micros.p50)} (p95 {format_duration(spec.startup_micros.p95)})"
    yield f"MB {spec.max_mini_batch_size:,}{' (extrapolated)' if spec.extrapolated else ''}"
    if spec.spread.run is not None:
        yield f"spread between runs {spec.spread.run:.1%}"
    if spec.latency_fit:
        yield f"L between these sizes: {spec.latency_fit.kind}, standard error {spec.latency_fit.error:.1%}"
    if spec.contention > 1:
        yield f"{spec.contention:.2f} times as slow as the sum while decoding"
    if spec.processes:
        yield f"{spec.processes} processes"


def _milliseconds(micros: int | None) -> str:
    return "" if micros is None else f"{micros / 1000:,.1f} ms"


def _model(arguments: argparse.Namespace) -> Model:
    """The model as a job would name it; Invalid names the option."""
    options = {
        "name": arguments.model,
        "weights": arguments.weights,
        "imageSize": arguments.image_size,
        "precision": arguments.precision,
        "engine": arguments.engine,
    }
    return validate(Model, options, origin="the model")


def require_folder(folder: Path) -> None:
    """Make the folder now rather than find out after minutes that it can't be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid("--output", f"{folder} can't be made: {error.strerror}") from None


def _monitor(folder: Path, model: Model, machine: "Machine", listener: "ProgressListener") -> "Monitor":
    try:
        from dueby_profiler.monitor.monitor import Monitor
    except ModuleNotFoundError as error:
        raise Invalid("--monitor", f"needs {error.name}: pip install 'dueby[profiler]'") from None
    return Monitor(
        folder / "monitor", model=model, node=machine.node, clock=machine.clock, on_message=listener.on_message
    )


@contextmanager
def watch(console: Console) -> Iterator["ProgressListener"]:
    """Show the profiler's progress and messages on the console."""
    from dueby_profiler.progress_listener import ProgressListener, ProgressUpdate

    if not console.is_terminal:
        yield ProgressListener(
            on_progress=lambda update: console.print(
                Text(f"  {update.doing} (at most {format_duration(round(1e6 * update.left_s))} left)")
            ),
            on_message=lambda message: console.print(Text(message)),
        )
        return
    began_s = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=console, transient=True, refresh_per_second=_REFRESHES_PER_S) as bar:
        task = bar.add_task("", total=1.0, left="")

        def show(update: ProgressUpdate) -> None:
            done_s = time.monotonic() - began_s
            bar.update(
                task,
                completed=done_s / (done_s + update.left_s),
                description=update.doing,
                left=f"at most {format_duration(round(1e6 * update.left_s))} left",
            )

        yield ProgressListener(on_progress=show, on_message=lambda message: bar.console.print(Text(message)))
