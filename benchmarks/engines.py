"""How fast the engines for CPUs are beside each other, by network: on one core, in turns.

    python benchmarks/engines.py [--models NAME ...]

It prints the table of docs/benchmarks.md. A network and an engine have a process, with the settings of a worker's. All
of a network's engines are alive at once and take turns, and the ratios are of neighbouring turns. Weights are random.
Needs dueby[bench].
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median

from document_tables import say
from dueby_api.engines import EngineName
from dueby_api.inference_job import Model
from dueby_worker.engines.build import available_engines, build_engine
from dueby_worker.engines.host import pin_to_cores, process_environment
from dueby_worker.engines.parity import made_up_images
from dueby_worker.models.loading import load_model
from pipeline_table import spread

ENGINES: dict[EngineName, str] = {"openvino": "OpenVINO", "ncnn": "ncnn", "eager": "PyTorch eager"}
MODELS = (
    *("vgg11", "resnet18", "googlenet", "squeezenet1_1", "resnet50"),
    *("efficientnet_b0", "mobilenet_v3_large", "vit_b_16", "convnext_tiny"),
)
MINI_BATCH = 8
TURNS = 7
TURN_S = 1.5
CORE = min(os.sched_getaffinity(0))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS, metavar="NAME", help="of torchvision")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve)
        return
    engines = [name for name in ENGINES if name in available_engines("fp32")]
    head = [f"{ENGINES[name]}, ms an image" for name in engines] + ["fastest", "faster than the next"]
    print(f"| network | {' | '.join(head)} |\n|{' --- |' * (1 + len(head))}")
    for model in options.models:
        print(f"| {model} | {' | '.join(row(model, engines))} |", flush=True)


def row(model: str, engines: Sequence[EngineName]) -> list[str]:
    """Return the cells of a network."""
    with ExitStack() as stack:
        served = {name: stack.enter_context(serving(name, model)) for name in engines}
        turns = [{name: take_turn(process) for name, process in served.items()} for _ in range(TURNS)]
    middle = {name: median(turn[name] for turn in turns) for name in engines}
    best, *others = sorted(engines, key=middle.__getitem__)
    ratios = spread([turn[others[0]] / turn[best] for turn in turns])
    return [*(f"{middle[name]:.1f}" for name in engines), ENGINES[best], say(ratios, ".2f")]


@contextmanager
def serving(engine: EngineName, model: str) -> Iterator[subprocess.Popen[str]]:
    """Start a process with the engine, ready for its first turn, and end it afterwards."""
    command = [sys.executable, "-W", "ignore", __file__, "--serve", engine, model]
    environment = os.environ | process_environment(engine, 1)
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        take_turn(process)
        yield process
        process.communicate()


def take_turn(process: subprocess.Popen[str]) -> float:
    """Return the milliseconds that an image took in the process's next turn."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SystemExit("a process with an engine has failed; its words stand above")
    return float(answer)


def serve(engine: EngineName, model: str) -> None:
    """Answer each line of standard input with what an image took during a turn."""
    pin_to_cores([CORE])
    loaded = load_model(Model(name=model, weights="none"))
    built = build_engine(name=engine, loaded=loaded, mini_batch_size=MINI_BATCH, precision="fp32", threads=1)
    batch = built.buffer()
    batch[...] = made_up_images(MINI_BATCH, loaded.preprocessing.crop_side)
    for _ in sys.stdin:
        steps, began = 0, time.perf_counter()
        while time.perf_counter() - began < TURN_S:
            built.submit(batch)
            built.collect()
            steps += 1
        print(1000 * (time.perf_counter() - began) / (steps * MINI_BATCH), flush=True)


if __name__ == "__main__":
    main()
