"""Many small objects on S3, from near and from far: does reading them hide behind the work, and how do others fare?

    python benchmarks/s3_latency.py [--photos N] [--rounds R] [--delays MS ...] [-o RESULTS]     # seven minutes
    python benchmarks/s3_latency.py --table benchmarks/results/s3_latency.json [--into docs/benchmarks.md]

JPEGs of 640 x 480 lie on a real S3 server (versitygw, which must be on the PATH), as single objects and in tars; the
same bytes are files of this machine, too. A proxy before the server delays each answer and limits no bandwidth. Whoever
reads has one core; the server and its proxies have another one. DueBy reads as its workers do: a worker process as
`dueby run` starts it, with EfficientNet-Lite0 in PyTorch, and its reader alone, without a network. Beside it are a
DataLoader of two processes that ask for one object after the other, and a pool of 32 threads.

Reading is hidden where the same program is as fast at a distance as without it, in the same round. Rounds are
interleaved, in an order that is drawn again; ratios are within a round. Writes results/s3_latency.json and prints the
tables of docs/benchmarks.md; --into puts them there, between the lines that say s3_latency.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from rich.console import Console

from document_tables import add_options, show
from dueby_worker.engines.host import process_environment
from metering import Command, run_metered
from photos import QUALITY, SIZE
from pipeline_table import machine
from s3_latency_places import CLIENT_CORES, PHOTOS_A_TAR, SERVER_CORES, Place, open_places, require_server
from s3_latency_table import NAME, Sample, markdown, summarise

MODEL = {"name": "efficientnet_lite0", "weights": "DEFAULT", "precision": "fp32", "imageSize": 224}
PHOTOS, ROUNDS, DELAYS_MS = 256, 3, (0, 10, 30)
BATCH = 16
SECONDS = 2.0
SEED = 1
RESULTS = Path(__file__).parent / "results"
READER = Path(__file__).parent / "s3_latency_reader.py"
console = Console(stderr=True, width=None if sys.stderr.isatty() else 160)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A process of a round: a way that goes through all places, or one worker at one place."""

    way: str
    form: str
    has_network: bool
    place: str | None = None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where everything lies."""

    folder: Path
    photos: int
    places: Sequence[Place]

    def index_of(self, place: Place, form: str) -> Path:
        """The sink with the index of these photos; delays share one."""
        return self.folder / f"index-{'local' if place.name == 'local' else 's3'}-{form}"


def main() -> None:
    """Prepare, measure round by round, report."""
    options = _parse()
    if options.table:
        show(options, markdown, name=NAME)
        return
    require_server()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dueby-s3-") as name:
        folder = Path(name)
        with open_places(folder, options.photos, options.delays) as places:
            bench = Bench(folder=folder, photos=options.photos, places=places)
            for place, form in product(places[:2], ("single", "tars")):
                build_index(bench, place, form)
            samples = measure(bench, options.rounds)
    result = {
        "machine": machine(),
        "settings": {
            "photos": options.photos,
            "photosATar": PHOTOS_A_TAR,
            "size": SIZE,
            "jpegQuality": QUALITY,
            "model": MODEL,
            "miniBatchSize": BATCH,
            "rounds": options.rounds,
            "seconds": SECONDS,
            "readersCores": CLIENT_CORES,
            "serversCores": SERVER_CORES,
            "minutes": round((time.monotonic() - began) / 60, 1),
        },
        "places": ["local", *map(str, options.delays)],
        **summarise(samples),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(markdown(result))
    console.print(f"{options.output}, after {result['settings']['minutes']} minutes")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=PHOTOS, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="(default: %(default)s)")
    parser.add_argument("--delays", type=int, nargs="+", default=DELAYS_MS, metavar="MS", help="(default: 0 10 30)")
    add_options(parser)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "s3_latency.json", help="(default: %(default)s)")
    return parser.parse_args()


def measure(bench: Bench, rounds: int) -> list[Sample]:
    """Every way at every place in each round."""
    runs = [Run(way=way, form="single", has_network=n) for way, n in product(("loader", "pool"), (False, True))]
    for form in ("single", "tars"):
        runs.append(Run(way="dueby", form=form, has_network=False))
        runs += [Run(way="dueby", form=form, has_network=True, place=place.name) for place in bench.places]
    draw, samples = random.Random(SEED), list[Sample]()
    for number in range(rounds):
        for run in draw.sample(runs, len(runs)):
            places = draw.sample(bench.places, len(bench.places))
            found = run_worker(bench, run, number) if run.place else run_reader(bench, run, number, places)
            rates = ", ".join(f"{sample.rate:.0f} images/s ({sample.place})" for sample in found)
            kind = f"{run.form}, {'Lite0' if run.has_network else 'decoding'}"
            console.print(f"  round {number + 1} of {rounds}: {run.way}, {kind}: {rates}")
            samples += found
    return samples


def build_index(bench: Bench, place: Place, form: str) -> None:
    """Index the photos as `dueby run` does."""
    sink = bench.index_of(place, form)
    config = _common(sink, place, form) | {"images": bench.photos}
    run_metered([[_step("index", config, sink.with_suffix(".json"), place, {})]], bench.folder / "log.txt")


def run_worker(bench: Bench, run: Run, number: int) -> list[Sample]:
    """Classify all photos with one worker, and return how fast it was after its first mini-batch."""
    place = next(place for place in bench.places if place.name == run.place)
    sink = bench.folder / f"run-{number}-{run.form}-{run.place}"
    shutil.copytree(bench.index_of(place, run.form), sink)
    share = [0, -(-bench.photos // BATCH)]
    config = _common(sink, place, run.form) | {
        "revision": 1,
        "deviceClass": "cpu-1",
        "engine": "eager",
        "threads": 1,
        "decodeThreads": 1,
        "miniBatchSize": BATCH,
        "iterations": share[1] - 1,
        "shares": [share],
        "share": share,
        "images": bench.photos,
        "partSize": BATCH,
        "worker": "w0",
        "rank": 0,
        "cores": CLIENT_CORES,
        "cacheDir": str(bench.folder / "cache"),
    }
    place.take_counts()
    command = _step("work", config, sink.with_suffix(".json"), place, process_environment("eager", 1))
    cost = run_metered([[command]], bench.folder / "log.txt")
    seen = json.loads(cost.outputs[0].splitlines()[-1])["progress"]
    if seen["imagesDone"] != bench.photos or seen["imagesFailed"]:
        sys.exit(f"s3_latency: {seen['imagesDone']} of {bench.photos} photos, {seen['imagesFailed']} failed")
    rate = (seen["imagesDone"] - BATCH) * 1e6 / (seen["stepMicrosMean"] * (seen["batches"] - 1))
    counts = place.take_counts()
    return [Sample.of(run, number, place.name, rate=rate, in_flight=counts.get("mostInFlight"), cost=cost)]


def run_reader(bench: Bench, run: Run, number: int, places: Sequence[Place]) -> list[Sample]:
    """Read from each place in a process, and return how fast that was."""
    files = sorted((bench.folder / "s3" / "photos" / "single").iterdir())
    task: Mapping[str, Any] = {
        "way": run.way,
        "hasNetwork": run.has_network,
        "model": MODEL,
        "seconds": SECONDS,
        "places": [
            {
                "environment": dict(place.environment),
                "sink": str(bench.index_of(place, run.form)),
                "uris": [f"{place.root}/single/{file.name}" for file in files],
            }
            for place in places
        ],
    }
    path = bench.folder / "task.json"
    path.write_text(json.dumps(task))
    for place in places:
        place.take_counts()
    words = [sys.executable, str(READER), "--task", str(path)]
    command = Command(arguments=words, environment=process_environment("eager", 1), cores=CLIENT_CORES)
    cost = run_metered([[command]], bench.folder / "log.txt")
    rates = json.loads(cost.outputs[0].splitlines()[-1])
    return [
        Sample.of(run, number, place.name, rate=rate, in_flight=place.take_counts().get("mostInFlight"), cost=cost)
        for place, rate in zip(places, rates, strict=True)
    ]


def _common(sink: Path, place: Place, form: str) -> dict[str, Any]:
    source = {"uri": place.uri(form)}
    return {"job": "s3-latency", "model": MODEL, "source": source, "sink": {"uri": str(sink)}}


def _step(step: str, config: Mapping[str, Any], path: Path, place: Place, environment: Mapping[str, str]) -> Command:
    path.write_text(json.dumps(config))
    return Command(
        arguments=[sys.executable, "-m", "dueby_worker", step, "--config", str(path)],
        environment={**os.environ, **environment, **place.environment},
        cores=CLIENT_CORES,
    )


if __name__ == "__main__":
    main()
