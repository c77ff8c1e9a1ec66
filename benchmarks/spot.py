"""Jobs with a deadline on spot devices that come and go: DueBy beside Uniform Progress, on traces of clouds.

    python benchmarks/spot.py FOLDER                        # three minutes; writes results/spot.json
    python benchmarks/spot.py --table benchmarks/results/spot.json --into docs/benchmarks.md

FOLDER has the traces of "Can't Be Late: Optimizing Spot Instance Savings under Deadlines" (NSDI 2024), which its
authors publish without a licence (github.com/skypilot-org/spot-traces): JSON files with `metadata.gap_seconds`, and in
`data` how many spot devices there were at equal distances in time.

- losses per hour: how often a device was taken away in an hour in which it was there. `spot.lossesPerHour` of the chart
  is to be near the median.
- deadlines: on each trace of one device, a job of so many hours begins at several times, with a deadline of its work
  times 1.1 to 2. There is one device on demand, and spot as the trace has it. Everybody decides at each change of the
  trace and every five minutes. A start takes some minutes and does no work.

DueBy is the operator's decide() (spot_dueby.py); its job may use both devices at once. The others have one at a time
(spot_policies.py): Uniform Progress, greedy (spot until the last moment, then on demand), and on demand alone. ROSS
(arXiv 2601.14612), which draws by chance when to go on demand, isn't here: its algorithm could not be had, only its
abstract.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, median, quantiles
from typing import Any

from rich.console import Console
from rich.progress import track

from document_tables import add_options, say, show
from spot_dueby import run_dueby
from spot_policies import Outcome, Task, greedy, on_demand_only, run_policy, uniform_progress
from spot_traces import HOUR_S, Trace, read_traces

RESULTS = Path(__file__).parent / "results" / "spot.json"
RATIOS = (1.1, 1.25, 1.5, 1.75, 2.0)
UNIFORM, DUEBY = "Uniform Progress", "DueBy"
POLICIES: Mapping[str, Callable[[Trace, Task], Outcome | None]] = {
    "on demand alone": lambda trace, task: run_policy(on_demand_only, trace, task),
    "greedy": lambda trace, task: run_policy(greedy, trace, task),
    UNIFORM: lambda trace, task: run_policy(uniform_progress, trace, task),
    DUEBY: run_dueby,
}
# One job has more on-demand time than another one by more than what is rounded.
MORE_S = 1.0
Document = dict[str, Any]
console = Console(width=120)


def main() -> None:
    """Simulate, write the results down, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where the traces are")
    parser.add_argument("--work-hours", type=float, default=12.0, help="(default: %(default)s)")
    parser.add_argument("--start-minutes", type=float, default=6.0, help="of a worker (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="on each trace, one after the other (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    add_options(parser)
    options = parser.parse_args()
    if options.table:
        show(options, markdown, name="spot")
        return
    if options.folder is None:
        parser.error("name the folder that has the traces")
    traces = read_traces(options.folder)
    if not traces:
        parser.error(f"{options.folder} has no JSON files")
    document = {
        "workHours": options.work_hours,
        "startMinutes": options.start_minutes,
        "lossesPerHour": {trace.name: trace.losses_per_hour for trace in traces},
        "deadlines": compare(traces, options.work_hours * HOUR_S, options.start_minutes * 60, options.jobs),
    }
    options.output.write_text(json.dumps(document, indent=1) + "\n")
    print(markdown(document))


def compare(
    traces: Sequence[Trace], work_s: float, start_s: float, jobs: int, *, ratios: Sequence[float] = RATIOS
) -> list[Document]:
    """Return what came of the jobs, by deadline and policy."""
    rows = []
    for ratio in ratios:
        found: dict[str, list[Outcome | None]] = {name: [] for name in POLICIES}
        cases = list(begins(traces, max(ratios) * work_s, jobs))
        for trace, begins_s in track(cases, description=f"{ratio} times the work", console=console, transient=True):
            task = Task(begins_s=begins_s, work_s=work_s, time_s=ratio * work_s, changeover_s=start_s)
            for name, run in POLICIES.items():
                found[name].append(run(trace, task))
        rows += [
            {"deadline": ratio, "policy": name, **summary(outcomes, found[UNIFORM], work_s)}
            for name, outcomes in found.items()
        ]
    return rows


def begins(traces: Sequence[Trace], most_s: float, jobs: int) -> Iterator[tuple[Trace, int]]:
    """Yield when jobs begin on the traces of one device, so that each of them has so much time within its trace."""
    for trace in traces:
        last_s = trace.length_s - most_s
        if trace.devices == 1 and last_s >= 0:
            for number in range(jobs):
                yield trace, int(last_s * number / max(1, jobs - 1))


def summary(outcomes: Sequence[Outcome | None], beside: Sequence[Outcome | None], work_s: float) -> Document:
    """Return what came of jobs, in multiples of their work; `beside` are the same jobs under Uniform Progress."""
    ran = [outcome for outcome in outcomes if outcome]
    pairs = [(one, other) for one, other in zip(outcomes, beside, strict=True) if one and other]
    on_demand_s, theirs_s = sum(one.on_demand_s for one, _ in pairs), sum(other.on_demand_s for _, other in pairs)
    return {
        "jobs": len(outcomes),
        "refused": len(outcomes) - len(ran),
        "late": sum(not outcome.is_in_time for outcome in ran),
        "onDemand": spread([outcome.on_demand_s / work_s for outcome in ran]),
        "spot": spread([outcome.spot_s / work_s for outcome in ran]),
        "restarts": round(mean(outcome.restarts for outcome in ran), 2),
        "onDemandOverUniform": round(on_demand_s / theirs_s, 4) if theirs_s else None,
        "moreThanUniform": sum(one.on_demand_s > other.on_demand_s + MORE_S for one, other in pairs),
    }


def spread(values: Sequence[float]) -> Document:
    """Return the mean and the quartiles."""
    low, middle, high = quantiles(values)
    found = {"mean": mean(values), "low": low, "median": middle, "high": high}
    return {name: round(value, 4) for name, value in found.items()}


def markdown(document: Mapping[str, Any]) -> str:
    """Return the tables of a run."""
    rates = list(document["lossesPerHour"].values())
    losses = {"median": median(rates), "min": min(rates), "max": max(rates)}
    low, _, high = quantiles(rates)
    lines = [
        f"Losses per hour of {len(rates)} traces, median and range: {say(losses, '.2f')}; half of them are between "
        f"{low:.2f} and {high:.2f}.",
        "",
        "| deadline over work | | late or refused | on demand | spot | on demand, over Uniform Progress | "
        "jobs with more on demand than it | starts after the first |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in document["deadlines"]:
        ratio = row["onDemandOverUniform"]
        cells = (
            f"{row['deadline']:g}",
            row["policy"],
            f"{row['late'] + row['refused']} of {row['jobs']}",
            *(f"{row[key]['mean']:.2f} ({row[key]['low']:.2f}-{row[key]['high']:.2f})" for key in ("onDemand", "spot")),
            "" if ratio is None else f"{ratio:.2f}",
            "" if row["policy"] == UNIFORM else str(row["moreThanUniform"]),
            f"{row['restarts']:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
