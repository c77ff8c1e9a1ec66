"""`dueby profile`: measure this machine and write a GPUProfile for each of its device classes.

Everything that is shown goes to stderr: the progress, at the end a table of each profile, and the names of the files.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rich.text import Text

from dueby.inputs.files import folder_name, profile_home, require_folder, write_profile
from dueby.inputs.needs import require_linux
from dueby.inputs.published import read_published
from dueby.runs.measuring import measure, measured_model, named_photos
from dueby.terminal.console import people_console
from dueby.terminal.progress_bar import show_progress
from dueby_api.classifiers import is_onnx
from dueby_api.engines import EngineName, Precision
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_profiler.files import write_text

EXAMPLES = """\
examples:
  dueby profile                                         measure efficientnet_b0, for plans and runs here
  dueby profile --model resnet50 --quick -o profiles    measure another model, in a hurry
  dueby profile --class cpu-1 --monitor -o profiles     measure one class, and record the machine meanwhile
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="efficientnet_b0", metavar="NAME", help="the classifier (default: %(default)s)"
    )
    parser.add_argument(
        "--weights",
        help="weights as in a job's manifest (default: none, which are random ones, because weights don't change the "
        "times; of a python/MODULE:FUNCTION model DEFAULT, those that the function makes)",
    )
    add_subject_arguments(parser)
    parser.add_argument(
        "--photos",
        metavar="URI",
        help="photos, as source.uri of a job names them, on which another precision than fp32 is compared with fp32; "
        "needs --weights",
    )
    parser.add_argument(
        "--class",
        action="append",
        default=[],
        dest="classes",
        metavar="CLASS",
        help="measure this device class only, such as cpu-1; may be repeated (default: every class of this machine)",
    )
    parser.add_argument(
        "--from",
        dest="published",
        metavar="FILE.csv",
        help="measure nothing, but derive a profile from published figures, in the columns of timm's; needs --class",
    )
    parser.add_argument(
        "--source",
        metavar="TEXT",
        help="where the figures of --from are published, and their licence (default: FILE.csv)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="take 45 s instead of up to 3 minutes, and know the spread less well"
    )
    parser.add_argument(
        "--memory-map",
        action="store_true",
        help="measure only memory, over several image and mini-batch sizes, for a figure (under 3 minutes)",
    )
    parser.add_argument(
        "--monitor",
        action="store_true",
        help="record this machine's hardware meanwhile, and write the record as Parquet into DIR/monitor",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=folder_name,
        metavar="DIR",
        help="folder for the profiles (default: where `dueby plan` and `dueby run` look for this machine's)",
    )


def add_subject_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how a model is measured, whichever model it is."""
    parser.add_argument(
        "--image-size", type=int, default=224, metavar="PIXELS", help="side of the image (default: %(default)s)"
    )
    parser.add_argument(
        "--precision", choices=get_args(Precision), default="fp32", help="precision (default: %(default)s)"
    )
    parser.add_argument(
        "--engine",
        choices=("auto", *get_args(EngineName)),
        default="auto",
        metavar="ENGINE",
        help="%(choices)s (default: auto, which takes the fastest)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, write the profiles and return 0."""
    model = subject(arguments, arguments.model, weights=arguments.weights)
    folder = arguments.output or profile_home()
    if arguments.published is not None:
        _import(model, arguments, folder)
        return 0
    require_linux("profile")
    if is_onnx(model.name) and arguments.monitor:
        raise Invalid("--monitor", "counts a network's operations, which only PyTorch's can tell; leave it out")
    if arguments.memory_map:
        if is_onnx(model.name):
            raise Invalid("--memory-map", "compares image sizes, and an ONNX file has its own; leave it out")
        if arguments.monitor:
            raise Invalid("--monitor", "can't be used with --memory-map, which measures no profile; leave one out")
        if arguments.photos is not None:
            raise Invalid("--photos", "can't be used with --memory-map, which classifies nothing; leave one out")
        measure_memory(model, folder, classes=arguments.classes)
    else:
        measure(
            model,
            folder,
            quick=arguments.quick,
            classes=arguments.classes,
            monitored=arguments.monitor,
            source=named_photos(arguments.photos, model),
        )
    return 0


def _import(model: Model, arguments: argparse.Namespace, folder: Path) -> None:
    """Write the profile of published figures into the folder."""
    if len(arguments.classes) != 1:
        raise Invalid(
            "--from", "needs one --class, the device that the figures are of, such as NVIDIA-GeForce-RTX-4090"
        )
    require_folder(folder)
    path = arguments.published
    profile = read_published(path, model, device_class=arguments.classes[0], source=arguments.source or Path(path).name)
    console = people_console(stderr=True)
    console.print(Text(f"Written: {write_profile(profile, folder)}"))
    console.print(
        Text("It is assumed, not measured: `dueby plan` takes it with a warning, and `dueby run` leaves it out.")
    )


def measure_memory(model: Model, folder: Path, *, classes: Sequence[str] = ()) -> Path:
    """Measure this machine's memory map with the model, write it into the folder, and return its path."""
    from dueby_profiler.machine.machine import this_machine
    from dueby_profiler.measuring.memory_map import map_memory
    from dueby_worker.models.loading import describe_model

    describe_model(model)
    console = people_console(stderr=True)
    require_folder(folder)
    with show_progress(console) as listener:
        memory_map = map_memory(model=model, machine=this_machine(), classes=classes, listener=listener)
    for cell in memory_map.cells:
        size = f"{cell.memory_mib:,} MiB" if cell.memory_mib else "does not fit"
        console.print(Text(f"{cell.image_size:>5} px, mini-batches of {cell.mini_batch_size:>4}: {size}"))
    path = write_text(folder / f"{memory_map.name}.json", json.dumps(memory_map.document(), indent=1) + "\n")
    console.print(Text(f"Written: {path}"))
    return path


def subject(arguments: argparse.Namespace, name: str, *, weights: str | None) -> Model:
    """Return the model of this name as these arguments have it measured; raise Invalid if no job could have it."""
    return measured_model(
        name,
        weights=weights,
        image_size=arguments.image_size,
        precision=arguments.precision,
        engine=arguments.engine,
    )
