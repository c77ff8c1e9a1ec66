"""A store that gives so much a second and no more: how fast workers read it, and whether a plan knows when it ends.

    python benchmarks/store_limits.py [--workers 1 4] [--runs R] [-o RESULTS]      # 20 minutes
    python benchmarks/store_limits.py --table benchmarks/results/store_limits.json [--into docs/benchmarks.md]

JPEGs of 640 x 480 lie on a real S3 server (versitygw, which must be on the PATH). A proxy before it lets each answer
wait for 100 or 200 ms, and refuses requests above a limit with 503 SlowDown, as S3 does. The figures of readers are of
processes that read and decode as DueBy's workers do, without a network, on the same cores as the server.

Plans: `dueby run` classifies the photos with SqueezeNet from the same store, whose limit is in the manifest
(`source.limits`) or isn't. The machine is measured first, by `dueby profile`.

Fleets: 1, 4 and 16 workers of plans for as many devices (store_limits_fleet.py), within a limit on requests and within
one on bytes, which the proxy lets through no faster. Writes results/store_limits.json.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from document_tables import add_options, show
from dueby_worker.engines.host import process_environment
from metering import Command, run_metered
from photos import QUALITY, SIZE, write_photos
from pipeline_table import machine
from s3_latency import READER
from s3_latency_places import BUCKET, require_server, run_proxy
from store_limits_fleet import IMAGES_PER_S, Fleet, measure_fleets
from support.s3 import S3Server, versitygw_server

NAME = "store_limits"
MODEL = {"name": "squeezenet1_1", "weights": "none", "imageSize": 64, "precision": "fp32"}
RESULTS = Path(__file__).parent / "results" / f"{NAME}.json"
PHOTOS = 480
WORKERS, DELAYS_MS = (1, 4), (100, 200)
# Readers: what the store gives a second.
REQUESTS_PER_S = 100
# A limit is found, and the requests that latency takes are in flight, within this; then it is measured.
WARM_S, SECONDS = 10.0, 10.0
# Plans: a store that is slower than this machine, whatever else it does.
PLAN_REQUESTS_PER_S, PLAN_DELAY_MS, PLAN_PHOTOS = 8, 100, 480
LONG_DEADLINE, SHORT_DEADLINE = "4m", "70s"
console = Console(stderr=True, width=None if sys.stderr.isatty() else 160)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Workers that read side by side from one store."""

    workers: int
    delay_ms: int
    limit: str
    """What the store refuses more than: "" or "100 requests/s"."""
    images_per_s: float
    """Of all workers together."""
    most_in_flight: int
    refused: float
    """Share of the requests."""
    foreign_cores: float


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One `dueby run`."""

    has_limit: bool
    """Whether the plan knows what the store gives."""
    deadline: str
    is_refused: bool
    """Whether the command says before it starts that the deadline can't be met."""
    expected_s: float | None
    """When the plan expected the end, after it was made."""
    actual_s: float | None
    in_time: bool | None
    input_wait: float | None


def main() -> None:
    """Prepare, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, metavar="N", help="(default: 1 4)")
    parser.add_argument("--runs", type=int, default=3, help="runs whose plan knows the limit (default: %(default)s)")
    parser.add_argument("--profiles", type=Path, help="profiles of this machine for the model (default: measured now)")
    parser.add_argument("--only", choices=("readings", "plans", "fleets"), help="keep the others of the last results")
    parser.add_argument("-o", "--output", type=Path, default=RESULTS, help="(default: %(default)s)")
    add_options(parser)
    options = parser.parse_args()
    if options.table:
        show(options, markdown, name=NAME)
        return
    require_server()
    kept = json.loads(options.output.read_text()) if options.only else {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dueby-limits-") as name:
        folder = Path(name)
        write_photos(folder / "s3" / BUCKET / "in", PHOTOS)
        with versitygw_server(folder, bucket=BUCKET) as server:
            readings, plans, fleets = (kept.get(part, []) for part in ("readings", "plans", "fleets"))
            if options.only in (None, "readings"):
                build_index(folder, server)
                readings = [asdict(reading) for reading in read_all(folder, server, options.workers)]
            if options.only in (None, "plans"):
                plans = [asdict(planned) for planned in plan_all(folder, server, options)]
            if options.only in (None, "fleets"):
                fleets = [asdict(fleet) for fleet in run_fleets(folder, server)]
    result = {
        "machine": machine(),
        "settings": {
            "photos": PHOTOS,
            "size": SIZE,
            "jpegQuality": QUALITY,
            "seconds": SECONDS,
            "model": MODEL,
            "planRequestsPerSecond": PLAN_REQUESTS_PER_S,
            "planPhotos": PLAN_PHOTOS,
            "fleetImagesPerSecond": IMAGES_PER_S,
            "minutes": round((time.monotonic() - began) / 60, 1),
        },
        "readings": readings,
        "plans": plans,
        "fleets": fleets,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(markdown(result))


@contextlib.contextmanager
def limited(folder: Path, server: S3Server, delay_ms: int, *limits: str) -> Iterator[tuple[Mapping[str, str], str]]:
    """A proxy with these limits: the variables by which it is found, and the URL of its counts."""
    with run_proxy(server, delay_ms, folder / "proxy.log", limits) as port:
        endpoint = f"http://127.0.0.1:{port}"
        yield {**server.env, "AWS_ENDPOINT_URL": endpoint}, f"{endpoint}/-/counts"


def build_index(folder: Path, server: S3Server) -> None:
    """Index the photos as `dueby run` does."""
    config = {"job": "limits", "model": MODEL, "source": {"uri": server.uri("in")}, "images": PHOTOS}
    path = folder / "index.json"
    path.write_text(json.dumps(config | {"sink": {"uri": str(folder / "index")}}))
    words = [sys.executable, "-m", "dueby_worker", "index", "--config", str(path)]
    run_metered([[Command(arguments=words, environment={**os.environ, **server.env})]], folder / "log.txt")


def read_all(folder: Path, server: S3Server, workers: Sequence[int]) -> Iterator[Reading]:
    """So many workers at each distance: without a limit, and within one."""
    limits = {
        "": [],
        f"{REQUESTS_PER_S} requests/s": ["--requests-per-s", str(REQUESTS_PER_S)],
    }
    for delay_ms in DELAYS_MS:
        for limit, words in limits.items():
            for count in workers:
                with limited(folder, server, delay_ms, *words) as (environment, counter):
                    reading = read(folder, environment, counter, workers=count, delay_ms=delay_ms, limit=limit)
                console.print(
                    f"  {count} workers, {delay_ms} ms, {limit or 'no limit'}: {reading.images_per_s:.0f} photos/s, "
                    f"{reading.most_in_flight} in flight, {reading.refused:.1%} refused"
                )
                yield reading


def read(
    folder: Path, environment: Mapping[str, str], counter: str, *, workers: int, delay_ms: int, limit: str
) -> Reading:
    """Run so many readers side by side."""
    task = {
        "way": "dueby",
        "hasNetwork": False,
        "model": MODEL,
        "seconds": SECONDS,
        "warmSeconds": WARM_S,
        "places": [{"environment": dict(environment), "sink": str(folder / "index"), "uris": []}],
    }
    path = folder / "task.json"
    path.write_text(json.dumps(task))
    words = [sys.executable, str(READER), "--task", str(path)]
    command = Command(arguments=words, environment={**os.environ, **process_environment("eager", 1)})
    cost = run_metered([[command] * workers], folder / "log.txt")
    with urllib.request.urlopen(counter) as answer:
        counts = json.load(answer)
    return Reading(
        workers=workers,
        delay_ms=delay_ms,
        limit=limit,
        images_per_s=sum(json.loads(output.splitlines()[-1])[0] for output in cost.outputs),
        most_in_flight=counts["mostInFlight"],
        refused=counts["refused"] / counts["requests"],
        foreign_cores=cost.foreign_cores,
    )


def plan_all(folder: Path, server: S3Server, options: argparse.Namespace) -> Iterator[Planned]:
    """Runs whose plan knows the store's limit, and two of a deadline that the store can't keep: with it and without."""
    profiles = options.profiles or measure(folder / "profiles")
    ways = [(True, LONG_DEADLINE)] * options.runs + [(True, SHORT_DEADLINE), (False, SHORT_DEADLINE)]
    for number, (has_limit, deadline) in enumerate(ways):
        limit = ["--requests-per-s", str(PLAN_REQUESTS_PER_S)]
        with limited(folder, server, PLAN_DELAY_MS, *limit) as (environment, _):
            planned = run_planned(folder / f"run-{number}", profiles, environment, server, has_limit, deadline)
        console.print(f"  plan {'with' if has_limit else 'without'} the limit, {deadline}: {planned}")
        yield planned


def run_fleets(folder: Path, server: S3Server) -> Iterator[Fleet]:
    """Fleets within each limit, and what became of their plans."""

    def open_store(delay_ms: int, *words: str) -> contextlib.AbstractContextManager[tuple[Mapping[str, str], str]]:
        return limited(folder, server, delay_ms, *words)

    fleets = measure_fleets(folder / "fleets", server, open_store, photos=PHOTOS, delays_ms=DELAYS_MS)
    for fleet in fleets:
        console.print(f"  {fleet}")
        yield fleet


def measure(profiles: Path) -> Path:
    """Measure this machine, and return the folder with its profiles."""
    words = [
        "profile",
        "--model",
        str(MODEL["name"]),
        "--image-size",
        str(MODEL["imageSize"]),
        "--quick",
        "-o",
        str(profiles),
    ]
    subprocess.run([sys.executable, "-m", "dueby.cli.main", *words], check=True, stdout=subprocess.DEVNULL)
    return profiles


def run_planned(
    folder: Path,
    profiles: Path,
    environment: Mapping[str, str],
    server: S3Server,
    has_limit: bool,
    deadline: str,
) -> Planned:
    """One run, and what became of its plan."""
    folder.mkdir()
    limits = {"limits": {"requestsPerSecond": PLAN_REQUESTS_PER_S}} if has_limit else {}
    spec = {
        "images": PLAN_PHOTOS,
        "deadline": deadline,
        "deadlineClass": "Hard" if has_limit else "Soft",
        "model": MODEL,
        "source": {"uri": server.uri("in"), **limits},
        "sink": {"uri": str(folder / "rows")},
    }
    document = {"apiVersion": "dueby.dev/v1alpha1", "kind": "InferenceJob", "metadata": {"name": "limits"}}
    (folder / "job.yaml").write_text(yaml.safe_dump({**document, "spec": spec}))
    words = ["run", "-f", str(folder / "job.yaml"), "--profiles", str(profiles)]
    subprocess.run(
        [sys.executable, "-m", "dueby.cli.main", *words],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log.txt").open("wb"),
        check=False,
    )
    run = next((folder / "rows" / "_dueby" / "runs").glob("*"), None)
    if run is None or not (run / "summary.json").exists():
        return Planned(
            has_limit=has_limit,
            deadline=deadline,
            is_refused=True,
            expected_s=None,
            actual_s=None,
            in_time=None,
            input_wait=None,
        )
    summary = json.loads((run / "summary.json").read_text())
    began_s = json.loads((run / "plan.json").read_text())["revisions"][0]["atSeconds"]
    return Planned(
        has_limit=has_limit,
        deadline=deadline,
        is_refused=False,
        expected_s=summary["expectedSeconds"] - began_s,
        actual_s=summary["actualSeconds"] - began_s,
        in_time=summary["inTime"],
        input_wait=summary.get("inputWait"),
    )


def markdown(result: Mapping[str, Any]) -> str:
    """The tables, as docs/benchmarks.md has them."""
    lines = (
        []
        if not result["readings"]
        else ["| store | latency, ms | workers | photos/s in all | requests in flight | refused |", "| --- " * 6 + "|"]
    )
    lines += [
        f"| {reading['limit'] or 'no limit'} | {reading['delay_ms']} | {reading['workers']} "
        f"| {reading['images_per_s']:.0f} | {reading['most_in_flight']} | {reading['refused']:.1%} |"
        for reading in result["readings"]
    ]
    lines += [
        "",
        "| the plan knows the limit | deadline | expected, s | actual, s | ratio | in time | waited for images |",
    ]
    lines.append("| --- " * 7 + "|")
    for planned in result["plans"]:
        known = "yes" if planned["has_limit"] else "no"
        if planned["is_refused"]:
            lines.append(f"| {known} | {planned['deadline']} | refused before it began | | | | |")
            continue
        ratio = planned["actual_s"] / planned["expected_s"]
        waited = "" if planned["input_wait"] is None else f"{planned['input_wait']:.0%}"
        lines.append(
            f"| {known} | {planned['deadline']} | {planned['expected_s']:.1f} | {planned['actual_s']:.1f} "
            f"| {ratio:.2f} | {'yes' if planned['in_time'] else 'no'} | {waited} |"
        )
    lines += ["", *fleet_lines(result.get("fleets", []))]
    busy = max((reading["foreign_cores"] for reading in result["readings"]), default=None)
    if busy is None:
        return "\n".join(lines).strip()
    lines += ["", f"Others kept up to {busy:.1f} of {result['machine']['cores']} cores busy, the server among them."]
    return "\n".join(lines)


def fleet_lines(fleets: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table of fleets; nothing without any."""
    if not fleets:
        return []
    lines = ["| workers | limit on | latency, ms | the plan knows it | planned, s | actual, s | ratio | refused |"]
    lines.append("| --- " * 8 + "|")
    busy = max(fleet["load"] for fleet in fleets)
    lines += [
        f"| {fleet['workers']} | {fleet['limit']} | {fleet['delay_ms']} | {'yes' if fleet['is_planned_for'] else 'no'} "
        f"| {fleet['planned_s']:.1f} | {fleet['actual_s']:.1f} | {fleet['actual_s'] / fleet['planned_s']:.2f} "
        f"| {fleet['refused']:.1%} |"
        for fleet in fleets
    ]
    return [*lines, "", f"Up to {busy:.1f} processes of this machine wanted a core meanwhile, the fleet's among them."]


if __name__ == "__main__":
    main()
