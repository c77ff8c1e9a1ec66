"""Small sets of Hard jobs on one pool: how many calendars DueBy finds of those that there are, beside an exact solver.

    python benchmarks/calendar_sets.py            # about ten minutes on 2 cores; writes results/calendar_sets.json

A set has up to five jobs of random sizes and deadlines on up to five devices of one class, in the study's own model
(confidence 0.5). DueBy places it, and every calendar is verified. Where it finds none, OR-tools' CP-SAT looks for one,
with start costs: on each device a job may have two windows, each of which loses its start. It has a time limit for each
set.

- missed: sets that CP-SAT places and DueBy doesn't.
- proved: sets without a calendar that DueBy refuses with a cut, or because no number of devices would do.
- wrongly proved: sets that CP-SAT places and DueBy says it can prove impossible; there may be none.
- one by one: the same with the fewest devices for each job in the order of deadlines, and nothing placed again.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from ortools.sat.python import cp_model
from rich.console import Console
from rich.table import Table

from dueby_planner.model.capacity import DeviceChoice, PoolGroup
from dueby_planner.model.problem import Problem
from dueby_planner.model.rule import Spreads
from dueby_planner.profiles.pool import Pool
from dueby_planner.schedule.calendar import make_calendar
from dueby_planner.schedule.calendar_job import CalendarJob, by_deadline
from dueby_planner.schedule.free_devices import idle_pool, less
from dueby_planner.schedule.place import place
from dueby_planner.schedule.reservation import claims_of
from dueby_planner.schedule.verify import verify_calendar

RESULTS = Path(__file__).parent / "results"
SEED, SETS, LIMIT_S = 1, 400, 10.0
# Of the sets that have a calendar.
BAR_MISSED = 0.02
CLASS = "gpu"
console = Console(width=120)


@dataclass(frozen=True)
class Drawn:
    """One job, in whole units of time: its step does `batch` images, and a start takes so long with its first step."""

    name: str
    images: int
    deadline: int
    batch: int
    step: int
    start: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--sets", type=int, default=SETS, help="(default: %(default)s)")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds of CP-SAT for a set (%(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS / "calendar_sets.json")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    found = [compare(*draw(chance), limit_s=options.limit) for _ in range(options.sets)]
    document = {"seed": options.seed, "sets": options.sets, "limitSeconds": options.limit, **summary(found)}
    options.output.write_text(json.dumps({**document, "each": [asdict(one) for one in found]}, indent=1))
    ok = tell(document)
    console.print(f"Written: {options.output}", style="dim")
    sys.exit(not ok)


def draw(chance: random.Random) -> tuple[list[Drawn], int]:
    """Draw a set of jobs, and the number of devices."""
    devices, count = chance.randint(1, 5), chance.randint(2, 5)
    load, horizon = chance.uniform(0.3, 0.9), 240
    shares = [chance.expovariate(1.0) for _ in range(count)]
    jobs = []
    for number, share in enumerate(shares):
        batch, step = chance.choice([1, 2, 4]), chance.randint(4, 12)
        work = load * devices * horizon * share / sum(shares)
        jobs.append(
            Drawn(
                name=f"job-{number}",
                images=max(1, round(work * batch / step)),
                deadline=chance.randint(horizon // 2, horizon),
                batch=batch,
                step=step,
                start=chance.randint(step, 40),
            )
        )
    return jobs, devices


@dataclass(frozen=True)
class Compared:
    """What came of one set."""

    jobs: int
    devices: int
    exact: str
    """Whether there is a calendar, as CP-SAT says if DueBy has none: feasible, infeasible or unknown."""
    is_placed: bool
    is_proved: bool
    is_placed_one_by_one: bool
    dueby_s: float
    exact_s: float


def compare(jobs: list[Drawn], devices: int, *, limit_s: float) -> Compared:
    began_s = time.perf_counter()
    calendar = make_calendar([asked(job, devices) for job in jobs], idle_pool({CLASS: devices}))
    verify_calendar(calendar)
    placed_s = time.perf_counter()
    exact = "feasible" if calendar.is_feasible else solve_exactly(jobs, devices, limit_s=limit_s)
    return Compared(
        jobs=len(jobs),
        devices=devices,
        exact=exact,
        is_placed=calendar.is_feasible,
        is_proved=any(placed.action == "Refuse" for placed in calendar.placements),
        is_placed_one_by_one=fits_one_by_one(jobs, devices),
        dueby_s=round(placed_s - began_s, 4),
        exact_s=round(time.perf_counter() - placed_s, 4),
    )


def asked(job: Drawn, devices: int) -> CalendarJob:
    """The job as DueBy plans it."""
    choice = DeviceChoice(
        engine="cudagraph",
        mini_batch_size=job.batch,
        latency_us=job.step,
        start_us=job.start,
        expected_start_us=job.start,
        expected_warmup_us=job.start,
        profile="drawn",
    )
    group = PoolGroup(device_class=CLASS, count=devices, choices=(choice,))
    pool = Pool(groups=(group,), spreads=Spreads(run=0, node=0))
    problem = Problem(pool=pool, images=job.images, time_us=job.deadline, confidence=0.5)
    return CalendarJob(name=job.name, deadline_class="Hard", problem=problem)


def fits_one_by_one(jobs: list[Drawn], devices: int) -> bool:
    free = idle_pool({CLASS: devices}).free["BestEffort"]
    for job in by_deadline(asked(job, devices) for job in jobs):
        reservation = place(job.problem, free)
        if reservation is None:
            return False
        free = less(free, claims_of(reservation, {}))
    return True


def solve_exactly(jobs: list[Drawn], devices: int, *, limit_s: float) -> str:
    """Whether there is a calendar in which a job has at most two windows on each device."""
    model = cp_model.CpModel()
    on_device: list[list[cp_model.IntervalVar]] = [[] for _ in range(devices)]
    for job in jobs:
        mini_batches = []
        for device in range(devices):
            before = None
            for _ in range(2):
                is_there = model.new_bool_var("")
                begins = model.new_int_var(0, job.deadline, "")
                further = model.new_int_var(0, max(0, (job.deadline - job.start) // job.step), "")
                length = model.new_int_var(0, job.deadline, "")
                model.add(length == job.start + job.step * further).only_enforce_if(is_there)
                ends = model.new_int_var(0, job.deadline, "")
                on_device[device].append(model.new_optional_interval_var(begins, length, ends, is_there, ""))
                done = model.new_int_var(0, 1 + job.deadline // job.step, "")
                model.add(done <= further + 1)
                model.add(done == 0).only_enforce_if(~is_there)
                mini_batches.append(done)
                if before is not None:  # the two are alike: the first one goes first
                    model.add(begins >= before[1]).only_enforce_if(is_there)
                    model.add_implication(is_there, before[0])
                before = is_there, ends
        model.add(job.batch * sum(mini_batches) >= job.images)
    for intervals in on_device:
        model.add_no_overlap(intervals)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = limit_s
    solver.parameters.num_workers = 2
    status = solver.solve(model)
    return {cp_model.OPTIMAL: "feasible", cp_model.FEASIBLE: "feasible", cp_model.INFEASIBLE: "infeasible"}.get(
        status, "unknown"
    )


def summary(found: list[Compared]) -> dict[str, int]:
    """Count what came of the sets."""
    by_exact = Counter(one.exact for one in found)
    possible = [one for one in found if one.exact == "feasible"]
    impossible = [one for one in found if one.exact == "infeasible"]
    return {
        "possible": len(possible),
        "missed": sum(not one.is_placed for one in possible),
        "missedOneByOne": sum(not one.is_placed_one_by_one for one in possible),
        "impossible": len(impossible),
        "proved": sum(one.is_proved for one in impossible),
        "wronglyProved": sum(one.is_proved for one in possible),
        "unknown": by_exact["unknown"],
    }


def tell(counts: dict[str, int]) -> bool:
    """Print the counts; return whether every bar is met."""
    table = Table(title=f"{counts['sets']:,} sets of 2 to 5 jobs on 1 to 5 devices", title_justify="left")
    table.add_column("")
    table.add_column("sets", justify="right")
    table.add_column("share", justify="right")
    possible, impossible = max(1, counts["possible"]), max(1, counts["impossible"])
    for what, count, of in (
        ("there is a calendar", counts["possible"], None),
        ("  DueBy finds none", counts["missed"], possible),
        ("  one by one finds none", counts["missedOneByOne"], possible),
        ("there is none", counts["impossible"], None),
        ("  DueBy proves it", counts["proved"], impossible),
        ("CP-SAT does not know in time", counts["unknown"], None),
    ):
        table.add_row(what, f"{count:,}", "" if of is None else f"{count / of:.1%}")
    console.print(table)
    is_right = counts["wronglyProved"] == 0
    if not is_right:
        console.print("DueBy and CP-SAT contradict each other", style="red")
    missed = counts["missed"] / possible
    is_close = missed <= BAR_MISSED
    console.print(f"{missed:.1%} missed, {BAR_MISSED:.0%} allowed  {'ok' if is_close else 'MISSED'}")
    return is_right and is_close


if __name__ == "__main__":
    main()
