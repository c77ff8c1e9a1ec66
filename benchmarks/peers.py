"""Ray Data, Daft, SPDL, loops by hand and DueBy, side by side: the same photos, networks, weights and cores.

    python benchmarks/peers.py [--photos N] [--rounds R] [--cores 1 2] [--ways NAME ...] [--models NAME ...] [--check]
    python benchmarks/peers.py --table benchmarks/results/peers.json [--into docs/benchmarks.md]

`pip install -e '.[peers]'` installs the peers; one that is missing is left out, and said to be. SPDL decodes with
FFmpeg's libraries (libavfilter and libavdevice 4 to 9), which the system must have, or --ffmpeg name.

Three tasks: decode and prepare alone; EfficientNet-Lite0 with its real weights; ResNet-18, as in the comparison that
Ray and Daft published of each other, with weights that are random but fixed. Each peer runs as its documentation says,
in the first round, and with all of our tuning that it can take, in all rounds. Loops by hand are what a person writes
for ncnn and OpenVINO in thirty lines. Where there are several numbers of cores, the smaller ones have a round less.
Every way runs in fresh processes, from nothing to the last row on disk, and writes a row for each photo; labels and
scores are compared at the end, and the command fails if they differ.

Rounds are interleaved and the order is drawn again in each, so that a change of the machine hits all alike. Ratios are
taken within a round. Writes results/peers.json, or the file of -o, and prints the tables of docs/benchmarks.md; --into
puts them there, between the lines that say peers.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from document_tables import add_options, show
from metering import Failed
from peers_table import NAME, TITLES, faults, markdown, summarise
from peers_task import DECODE
from peers_ways import WAYS, Bench, Group, Run, Way, obstacle, run
from photos import write_photos

SEED = 1
ROUNDS = 3
# Photos of each task, so that all of it takes less than half an hour on two cores.
PHOTOS = {DECODE: 640, "efficientnet_lite0": 320, "resnet18": 500}
CHECK_PHOTOS = 40
PROFILE_S, CHECK_PROFILE_S = 20.0, 6.0
# To say how long it will take: seconds of one core for a photo, as documented and tuned; and of a start.
COST_S = {DECODE: (0.012, 0.0025), "efficientnet_lite0": (0.045, 0.015), "resnet18": (0.11, 0.06)}
START_S = {"ray": 10.0, "daft": 6.0}
OTHER_START_S = 4.0
RESULTS = Path(__file__).parent / "results"
console = Console(stderr=True, width=None if sys.stderr.isatty() else 160)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One way in one round."""

    round: int
    group: Group
    way: Way

    @property
    def expected_s(self) -> float:
        """Roughly how long it takes on an idle machine."""
        documented_s, tuned_s = COST_S[self.group.model]
        work_s = self.group.photos * (tuned_s if self.way.tuned else documented_s) / self.group.cores
        return START_S.get(self.way.program, OTHER_START_S) + work_s


def main() -> None:
    """Prepare, measure round by round, compare, report."""
    options = _parse()
    if options.table:
        show(options, markdown, name=NAME)
        return
    started = time.monotonic()
    allowed = sorted(os.sched_getaffinity(0))
    groups = [
        Group(model=model, cores=cores, photos=options.photos or PHOTOS[model])
        for model in options.models
        for cores in options.cores
        if cores <= len(allowed)
    ]
    # Ray's sockets lie below it, and their paths may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="dp-") as folder:
        bench = Bench(folder=Path(folder), ffmpeg=options.ffmpeg)
        for photos in {group.photos for group in groups}:
            write_photos(bench.photos(photos), photos)
        left_out = find_left_out(options.ways, bench, groups)
        ways = [way for way in WAYS if way.name in options.ways and way.name not in left_out]
        turns = list(plan(ways, groups, rounds=options.rounds))
        minutes = (sum(turn.expected_s for turn in turns) + 6 * options.profile_s + 30) / 60
        console.print(f"{len(turns)} runs; about {minutes:.0f} minutes on an idle machine")
        took = prepare(bench, [model for model in options.models if model != DECODE], options.profile_s)
        measured = measure(turns, bench, allowed, left_out)
        result: dict[str, Any] = {
            "machine": machine(),
            "settings": {"rounds": options.rounds, "minutes": round((time.monotonic() - started) / 60, 1)},
            "auto": took,
            "leftOut": left_out,
            "groups": list(summaries(groups, measured, took, bench)),
        }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(markdown(result))
    console.print(f"{options.output}, after {result['settings']['minutes']} minutes")
    wrong = [*faults(result), *(f"{name}: {why}" for name, why in left_out.items() if options.check)]
    if wrong:
        sys.exit("peers: " + "\n".join(wrong))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [way.name for way in WAYS]
    parser.add_argument("--photos", type=int, help=f"how many, for each task (default: {PHOTOS})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="(default: %(default)s)")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2], help="(default: 1 2)")
    parser.add_argument("--ways", nargs="+", choices=names, default=names, metavar="WAY", help=", ".join(names))
    parser.add_argument("--models", nargs="+", choices=list(TITLES), default=list(TITLES), metavar="MODEL")
    parser.add_argument("--ffmpeg", default="", metavar="DIR:DIR", help="folders of FFmpeg's libraries, for SPDL")
    parser.add_argument("--check", action="store_true", help="every way once, on few photos, in two minutes")
    add_options(parser)
    parser.add_argument("-o", "--output", type=Path, help="(default: benchmarks/results/peers.json)")
    options = parser.parse_args()
    options.profile_s = CHECK_PROFILE_S if options.check else PROFILE_S
    if options.check:
        options.photos, options.rounds, options.cores = options.photos or CHECK_PHOTOS, 1, [max(options.cores)]
        options.models = [DECODE, "efficientnet_lite0"]
    # What a check found is no result.
    options.output = options.output or (Path(os.devnull) if options.check else RESULTS / "peers.json")
    return options


def find_left_out(names: Sequence[str], bench: Bench, groups: Sequence[Group]) -> dict[str, str]:
    """The ways that can't run here, and why, which is said loudly."""
    photo = next(bench.photos(groups[0].photos).iterdir())
    found = {way.name: why for way in WAYS if way.name in names and (why := obstacle(way, bench, photo))}
    for name, why in found.items():
        console.print(f"[bold red]LEFT OUT: {name}: {why}")
    return found


def plan(ways: Sequence[Way], groups: Sequence[Group], *, rounds: int) -> Iterator[Turn]:
    """All runs in their order: ways of a group together, since their ratios are taken."""
    most = max(group.cores for group in groups)
    draw = random.Random(SEED)
    for number in range(rounds):
        for group in draw.sample(groups, len(groups)):
            if group.cores < most and number and number == rounds - 1:
                continue
            for way in draw.sample(ways, len(ways)):
                if group.has(way) and (way.tuned or number == 0):
                    yield Turn(round=number, group=group, way=way)


def prepare(bench: Bench, models: Sequence[str], profile_s: float) -> dict[str, str]:
    """Networks and profiles; by model the engine that auto took."""
    from peers_prepare import measure_profiles, write_networks

    console.print("networks, and DueBy's profiles of this machine ...")
    write_networks(bench.models, bench.folder / "fitted", models)
    return measure_profiles(models, bench.models, bench.folder / "profiles", seconds=profile_s, say=console.print)


def measure(
    turns: Sequence[Turn], bench: Bench, allowed: Sequence[int], left_out: dict[str, str]
) -> dict[tuple[Group, str], dict[int, Run]]:
    """Run all turns. A way that fails twice is left out from then on, loudly."""
    measured: dict[tuple[Group, str], dict[int, Run]] = defaultdict(dict)
    failed = set[str]()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=sum(turn.expected_s for turn in turns))
        for turn in turns:
            progress.update(bar, description=f"round {turn.round + 1}: {turn.group.name}: {turn.way.title}")
            if turn.way.name not in left_out:
                try:
                    cores = allowed[: turn.group.cores]
                    done = run(turn.way, turn.group, bench, label=str(turn.round), cores=cores)
                except Failed as failure:
                    console.print(f"FAILED: {turn.way.name}: {failure}", style="bold red", markup=False)
                    if turn.way.name in failed:
                        left_out[turn.way.name] = str(failure)
                    failed.add(turn.way.name)
                else:
                    measured[turn.group, turn.way.name][turn.round] = done
                    wall_s, speed = done.cost.wall_s, turn.group.photos / done.cost.wall_s
                    console.print(f"  {turn.group.name}: {turn.way.title}: {wall_s:.1f} s, {speed:.1f} images/s")
            progress.advance(bar, turn.expected_s)
    return measured


def summaries(
    groups: Sequence[Group],
    measured: Mapping[tuple[Group, str], Mapping[int, Run]],
    took: Mapping[str, str],
    bench: Bench,
) -> Iterator[dict[str, Any]]:
    """Each group's figures."""
    rounds = range(1 + max((number for runs in measured.values() for number in runs), default=0))
    for group in groups:
        preset = json.loads((bench.models / f"{group.model}.json").read_text())
        runs = {
            way.name: [measured[group, way.name].get(number) for number in rounds]
            for way in WAYS
            if (group, way.name) in measured
        }
        if runs:
            reference = "dueby-decode" if group.model == DECODE else f"dueby-{took[group.model]}"
            yield summarise(group, runs, reference=reference, mean=preset["mean"][0], std=preset["std"][0])


def machine() -> dict[str, Any]:
    """What the figures belong to, with the versions of the peers."""
    from importlib.metadata import PackageNotFoundError, version

    from pipeline_table import machine as this

    versions = {}
    for name in ("ray", "daft", "spdl"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    found = this()
    return found | {"software": found["software"] | versions}


if __name__ == "__main__":
    main()
