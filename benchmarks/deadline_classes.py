"""The example of docs/sharing.md: jobs of all deadline classes on eight devices, and who has which when.

    python benchmarks/deadline_classes.py --output docs/figures/deadline-classes.png       # a minute

The cluster is simulated, and the operator's own decide() decides once a second. A worker takes five seconds to start,
and then does 160 images a second. What is printed is what `kubectl get infj -o wide` would show after each arrival and
each end, with the times as minutes and seconds since the first arrival; rows that have not changed are left out.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from dueby_api.units import parse_time_us
from support.decisions import NOW, SECOND
from support.shared_cluster import LEAVING_US, SharedCluster
from support.shared_cluster_jobs import Running, Working

matplotlib.use("Agg")
NODES = {"a": 4, "b": 4}
# How long after an arrival the rows are printed, and when the simulation ends at the latest.
SEEN_AFTER_S, END_S = 3, 1800
DAY_US = 86_400 * SECOND


@dataclass(frozen=True)
class Arrival:
    """A job that is applied, in seconds since the first one."""

    at_s: int
    name: str
    deadline_class: str
    images: int
    deadline_s: int
    colour: str


ARRIVALS = (
    Arrival(0, "sweep", "Relaxed", 270_000, 600, "#6fb1e0"),
    Arrival(10, "archive", "BestEffort", 150_000, 900, "#c3c9d0"),
    Arrival(30, "catalog", "Hard", 100_000, 150, "#0b5fa5"),
    Arrival(60, "nightly", "Hard", 110_000, 300, "#1d8a63"),
    Arrival(75, "urgent", "Hard", 70_000, 75, "#b3261e"),
    Arrival(90, "preview", "Soft", 20_000, 240, "#e0a526"),
)


def main() -> None:
    """Simulate it, print the rows and draw the chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path, help="PNG to write")
    options = parser.parse_args()
    cluster = SharedCluster(NODES)
    print("| at | job | PHASE | GPUS | STARTS | ENDS | MESSAGE |\n| --- | --- | --- | --- | --- | --- | --- |")
    for row in simulate(cluster):
        print(row)
    draw_chart(cluster, options.output)


def simulate(cluster: SharedCluster) -> Iterator[str]:
    """Let the jobs come; yield the rows that have changed a little after each arrival, and at each end."""
    shown: dict[str, str] = {}
    looks = {arrival.at_s + SEEN_AFTER_S for arrival in ARRIVALS}
    for second in range(END_S):
        for arrival in ARRIVALS:
            if arrival.at_s == second:
                add(cluster, arrival)
        over = [name for name, running in cluster.jobs.items() if running.is_over]
        cluster.run(1)
        ended = [name for name, running in cluster.jobs.items() if running.is_over and name not in over]
        if second in looks or ended:
            for name, running in cluster.jobs.items():
                row = row_of(name, running)
                if shown.get(name) != row:
                    yield f"| {clock(cluster.now_us)} | {row}"
                shown[name] = row
        if len(cluster.jobs) == len(ARRIVALS) and all(running.is_over for running in cluster.jobs.values()):
            return


def add(cluster: SharedCluster, arrival: Arrival) -> None:
    cluster.add(
        arrival.name, images=arrival.images, deadline_s=arrival.deadline_s, deadline_class=arrival.deadline_class
    )


def row_of(name: str, running: Running) -> str:
    """What `kubectl get infj -o wide` shows of the job."""
    status = running.snapshot.status
    ends = clock(running.ended_us) if running.ended_us else moment(status.ends)
    gpus = "" if running.is_done else status.gpus or ""
    phase = "Succeeded" if running.is_done else status.phase
    return f"{name} | {phase} | {gpus} | {moment(status.starts)} | {ends} | {words(status.message or '')} |"


def words(message: str) -> str:
    """The message without the namespace, with times as the columns have them."""

    def named(found: re.Match[str]) -> str:
        hours, minutes, seconds = (int(part) for part in found.groups())
        return clock(NOW - NOW % DAY_US + ((hours * 60 + minutes) * 60 + seconds) * SECOND)

    return re.sub(r"(\d\d):(\d\d):(\d\d) UTC", named, message.replace("team/", ""))


def moment(time: str | None) -> str:
    return clock(parse_time_us(time)) if time else ""


def clock(time_us: int) -> str:
    """Minutes and seconds since the first job came."""
    seconds = round((time_us - NOW) / SECOND)
    return f"{seconds // 60}:{seconds % 60:02}"


def draw_chart(cluster: SharedCluster, path: Path) -> None:
    """Draw a line for each device with the workers that it had, and each job's deadline."""
    figure, axes = pyplot.subplots(figsize=(11, 4.2), layout="constrained")
    last_us = max(running.ended_us or 0 for running in cluster.jobs.values())
    free_us: dict[tuple[str, int], int] = {}
    workers = [
        (worker, running.ended_us or last_us, arrival.colour)
        for arrival in ARRIVALS
        for running in [cluster.jobs[arrival.name]]
        for worker in running.workers
    ]
    for worker, ended_us, colour in sorted(workers, key=lambda each: each[0].born_us):
        until_us = ended_us if worker.stopped_us is None else worker.stopped_us
        draw_worker(axes, worker, free_us, until_us=until_us, colour=colour)
    for arrival in ARRIVALS:
        deadline_s = arrival.at_s + arrival.deadline_s
        label = f"{arrival.name}: {arrival.deadline_class}, by {deadline_s // 60}:{deadline_s % 60:02}"
        axes.barh(0, 0, color=arrival.colour, label=label)
        axes.plot([arrival.at_s], [-0.85], marker="v", color=arrival.colour, clip_on=False)
        axes.axvline(deadline_s, color=arrival.colour, linestyle="--", linewidth=1.2)
    axes.set(xlim=(0, (last_us - NOW) / SECOND), ylim=(sum(NODES.values()) - 0.4, -1), ylabel="device")
    axes.set_yticks(range(sum(NODES.values())), [str(number + 1) for number in range(sum(NODES.values()))])
    axes.xaxis.set_major_locator(matplotlib.ticker.MultipleLocator(60))
    axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds / 60:.0f} min")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def draw_worker(
    axes: Axes, worker: Working, free_us: dict[tuple[str, int], int], *, until_us: int, colour: str
) -> None:
    """Draw a worker on the first device of its node that is free."""
    lanes = [(worker.node, number) for number in range(NODES[worker.node])]
    lane = next(lane for lane in lanes if free_us.get(lane, 0) <= worker.born_us)
    free_us[lane] = until_us + LEAVING_US if worker.stopped_us else until_us
    place = list(NODES).index(lane[0]) * NODES["a"] + lane[1]
    start_s, width_s = (worker.born_us - NOW) / SECOND, (until_us - worker.born_us) / SECOND
    axes.barh(place, width_s, left=start_s, color=colour, height=0.8, edgecolor="white")


if __name__ == "__main__":
    main()
