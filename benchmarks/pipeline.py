"""End to end: the same photos, model, weights and precision through DueBy, torchvision's DataLoader and timm's loop.

    python benchmarks/pipeline.py [--quick] [--precision fp32|bf16]

Every way is run in fresh processes and timed from nothing to the last row on disk, imports included; DueBy with its
three steps (index, one worker for each core, finish) as `dueby run` starts them. The peers run twice: as a user would
write them, and with all of our tuning that they can take. DueBy runs twice as well: with the engine that the tuned
DataLoader loop has, which shows what the pipeline is worth, and with OpenVINO, which shows what the engine adds.

Rounds are interleaved, so that a change of the machine hits all alike, and ratios are taken within a round. Writes
results/pipeline.json and results/pipeline.png.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from photos import ORIGINALS, QUALITY, SIZE, write_photos
from pipeline_chart import draw_chart
from pipeline_table import print_table, summarise
from pipeline_ways import WAYS, Bench, Run, run
from random_weights import write_weights

PHOTOS, ROUNDS = 1_500, 4
QUICK_PHOTOS, QUICK_ROUNDS = 400, 3
# Photos that the weights are made from.
FITTED_PHOTOS = 128
RESULTS = Path(__file__).parent / "results"
console = Console(width=None if sys.stdout.isatty() else 160)


def main() -> None:
    """Prepare, warm up, measure round by round, compare, report."""
    options = _parse()
    photos, rounds = (QUICK_PHOTOS, QUICK_ROUNDS) if options.quick else (PHOTOS, ROUNDS)
    require_precision(options.precision)
    with tempfile.TemporaryDirectory(prefix="dueby-pipeline-") as folder:
        bench = Bench(folder=Path(folder), photos=options.photos or photos, precision=options.precision)
        console.print(f"{bench.photos} photos of {SIZE[0]}x{SIZE[1]}, JPEG quality {QUALITY}, and weights ...")
        prepare(bench)
        # Not counted: files come from the page cache and the converted network from DueBy's cache from now on.
        console.print("a first round, not counted ...")
        cold = {way.name: run(way, bench, label="cold") for way in WAYS}
        measured: dict[str, list[Run]] = {way.name: [] for way in WAYS}
        for number in range(options.rounds or rounds):
            # Each round begins with another way.
            for way in WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]:
                done = run(way, bench, label=str(number))
                measured[way.name].append(done)
                console.print(
                    f"  round {number + 1}: {way.title}: {done.cost.wall_s:.1f} s, {done.steady:.1f} images/s steady"
                )
        result = summarise(bench, measured, cold)
    print_table(console, result)
    write(result)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PHOTOS} photos, {QUICK_ROUNDS} rounds")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--photos", type=int, help="how many, instead")
    parser.add_argument("--rounds", type=int, help="how many, instead")
    return parser.parse_args()


def require_precision(precision: str) -> None:
    """bf16 without instructions for it is twenty times slower than fp32 and says nothing about any program."""
    flags = Path("/proc/cpuinfo").read_text()
    if precision == "bf16" and not ("avx512_bf16" in flags or "amx_bf16" in flags):
        sys.exit("pipeline: this CPU has no bf16 instructions (avx512_bf16, amx_bf16); measure fp32 here")


def prepare(bench: Bench) -> None:
    """Photos and weights."""
    photos = write_photos(bench.pictures, bench.photos)
    fitted = write_photos(bench.folder / "fitted", FITTED_PHOTOS) if len(photos) < FITTED_PHOTOS else photos
    write_weights(
        fitted[:FITTED_PHOTOS],
        len(ORIGINALS),
        torchvision_file=bench.weights("torchvision"),
        timm_file=bench.weights("timm"),
    )


def write(result: Mapping[str, Any]) -> None:
    """The file and the chart."""
    RESULTS.mkdir(exist_ok=True)
    precision = result["settings"]["precision"]
    stem = "pipeline" if precision == "fp32" else f"pipeline-{precision}"
    (RESULTS / f"{stem}.json").write_text(json.dumps(result, indent=1) + "\n")
    draw_chart(result, RESULTS / f"{stem}.png")
    console.print(f"{RESULTS / stem}.json and .png")


if __name__ == "__main__":
    main()
