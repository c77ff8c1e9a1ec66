"""Measure this machine: write a GPUProfile for each of its device classes, and show it as a table."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from dueby.inputs.files import require_folder, write_profile
from dueby.terminal.console import people_console
from dueby.terminal.profile_table import print_profile
from dueby.terminal.progress_bar import show_progress
from dueby_api.classifiers import PYTHON, source_of
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_api.schema import validate
from dueby_api.source import Source

if TYPE_CHECKING:
    from dueby_profiler.machine.machine import Machine
    from dueby_profiler.monitor.monitor import Monitor
    from dueby_profiler.progress_listener import ProgressListener


def measure(
    model: Model,
    folder: Path,
    *,
    quick: bool,
    classes: Sequence[str] = (),
    monitored: bool = False,
    source: Source | None = None,
    console: Console | None = None,
    field: str = "--output",
) -> list[GPUProfile]:
    """Measure this machine with the model, write its profiles into the folder, and return them.

    On the photos of `source` another precision than fp32 is compared with it. What there is to tell is printed on the
    console, by default on stderr. `field` has named the folder.
    """
    # The profiler brings PyTorch, which takes seconds to import; --help shall not wait for it.
    from dueby.local.this_machine import cache_folder
    from dueby_profiler.machine.machine import this_machine
    from dueby_profiler.presets import FULL, QUICK
    from dueby_profiler.profiling import profile_machine
    from dueby_worker.models.loading import describe_model

    # A name that no model has is refused now, not by the first process that measures.
    describe_model(model)
    console = console or people_console(stderr=True)
    require_folder(folder, field=field)
    machine = this_machine()
    with ExitStack() as stack:
        listener = stack.enter_context(show_progress(console))
        monitor = stack.enter_context(_monitor(folder, model, machine, listener)) if monitored else None
        profiles = profile_machine(
            model=model,
            machine=machine,
            preset=QUICK if quick else FULL,
            classes=classes,
            listener=listener,
            cache_dir=cache_folder(),
            monitor=monitor,
            source=source,
        )
    paths = [write_profile(profile, folder) for profile in profiles]
    for profile in profiles:
        print_profile(profile, console)
    for path in paths:
        console.print(Text(f"Written: {path}"))
    return profiles


def measured_model(name: str, *, weights: str | None, image_size: int, precision: str, engine: str) -> Model:
    """Return the model as a job names it, without `weights` with those that suit; raise Invalid if no job could."""
    # Of what is no text, `validate` says so.
    suited = "DEFAULT" if source_of(str(name)) == PYTHON else "none"
    options = {
        "name": name,
        "weights": suited if weights is None else weights,
        "imageSize": image_size,
        "precision": precision,
        "engine": engine,
    }
    return validate(Model, options, origin="the model")


def named_photos(uri: str | None, model: Model) -> Source | None:
    """Return where the photos are; None if none are named. Raise Invalid if nothing can be measured on them."""
    if uri is None:
        return None
    if model.precision == "fp32":
        raise Invalid("--photos", "shows how far a precision is from fp32; set --precision, or leave it out")
    if model.weights == "none":
        raise Invalid("--photos", "tells nothing of random weights; set --weights, such as --weights DEFAULT")
    return validate(Source, {"uri": uri}, origin="--photos")


def _monitor(folder: Path, model: Model, machine: "Machine", listener: "ProgressListener") -> "Monitor":
    try:
        from dueby_profiler.monitor.monitor import Monitor
    except ModuleNotFoundError as error:
        raise Invalid("--monitor", f"needs {error.name}: pip install 'dueby[profiler]'") from None
    return Monitor(
        folder / "monitor", model=model, node=machine.node, clock=machine.clock, on_message=listener.on_message
    )
