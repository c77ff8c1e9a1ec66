"""The objective of least cost beside others, on random pools and jobs: what it saves, and how much is proved.

    python benchmarks/cost.py            # a minute on an idle machine; writes results/cost.json

- MinCost: the plan with its bound. "Proved" are those whose cost is the bound: no devices that are in time cost less.
- MinGPUs: the plan of the same job on the fewest devices.
- one class: the cheapest class that does the job alone, on its fewest devices.
- brute force: every choice of devices and mini-batch sizes on pools of at most six devices, by the model's own words.

Times are of the processor, the solver's included. Every repetition makes a new pool, new prices and a new job. Prices
go with speed, but for a factor of up to three. A bound above what brute force finds fails the run.
"""

import argparse
import json
import random
import resource
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, product
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from dueby_planner.deadline_classes import make_plan
from dueby_planner.model.capacity import DeviceChoice, PoolGroup, capacity
from dueby_planner.model.cost import Price, Tariff, micro_units
from dueby_planner.model.curve import curve_of
from dueby_planner.model.offers import cheapest_alone
from dueby_planner.model.plan import Plan
from dueby_planner.model.problem import Problem, find_least
from planner_instances import Size, instance

RESULTS = Path(__file__).parent / "results"
SEED = 41
BAR_MS, CURVE_BAR_S = 50, 2
# Pools, and how many of each.
SIZES = {Size(6, 3): 100, Size(64, 4): 100, Size(64, 16): 100, Size(512, 16): 60, Size(4096, 16): 60}
BRUTE = Size(6, 3)
# Of a pool for brute force: every size of every device is tried.
BRUTE_CHOICES = 2
BILLING_US = (10**6, 60 * 10**6, 3600 * 10**6)
console = Console(width=120)


@dataclass(frozen=True)
class Row:
    """One job."""

    size: Size
    milliseconds: float
    gap: float
    proved: bool
    with_solver: bool
    to_fewest: float
    """Its cost over that of the fewest devices."""
    to_one_class: float | None
    """Its cost over that of the cheapest class alone; None if none can."""
    to_least: float | None
    """Its cost over the least of all choices; None where these are too many."""


def priced(size: Size, repetition: int) -> Problem:
    """Return a random job whose pool has prices."""
    problem = instance(size, repetition, 0.95)
    draw = random.Random(f"{SEED}-{size}-{repetition}")
    groups = problem.pool.groups
    if size == BRUTE:
        groups = tuple(
            replace(group, choices=group.choices[:: len(group.choices) // BRUTE_CHOICES]) for group in groups
        )
    prices = {}
    for group in groups:
        rate = max(choice.mini_batch_size / choice.latency_us for choice in group.choices)
        hourly = round(rate * 5e8 * draw.uniform(1, 3))
        prices[group.device_class] = Price(hourly=hourly, unit_us=draw.choice(BILLING_US))
    pool = replace(problem.pool, groups=groups)
    bare = replace(problem, pool=pool, tariff=Tariff(currency="USD", prices=prices))
    most = bare.largest_images()
    return replace(bare, images=max(1, int(most * draw.uniform(0.05, 0.9))), objective="MinCost")


def ask(size: Size, repetition: int) -> Row:
    problem = priced(size, repetition)
    # What is cached on a problem is made by whoever asks first: each gets a problem of its own.
    asked = priced(size, repetition)
    started = processor_s()
    cheapest = planned(asked)
    milliseconds = (processor_s() - started) * 1e3
    fewest = planned(replace(problem, objective="MinGPUs"))
    one_class = cheapest_alone(problem)
    if cheapest.cost is None or fewest.cost is None or cheapest.cost_bound is None:
        raise RuntimeError("a class of this benchmark has no price")
    least = least_cost(problem) if size == BRUTE else None
    total = cheapest.cost.total
    if least is not None and not cheapest.cost_bound <= micro_units(least) <= total:
        raise RuntimeError(
            f"repetition {repetition}: {cheapest.cost_bound} <= {micro_units(least)} <= {total} is wrong"
        )
    return Row(
        size=size,
        milliseconds=milliseconds,
        gap=1 - cheapest.cost_bound / total,
        proved=cheapest.cost_bound == total,
        with_solver=cheapest.proof.endswith("CBC"),
        to_fewest=total / fewest.cost.total,
        to_one_class=total / one_class.cost.total if one_class else None,
        to_least=total / micro_units(least) if least is not None else None,
    )


def processor_s() -> float:
    """Return the processor time of this process and of the solver's, which other programs don't make longer."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def planned(problem: Problem) -> Plan:
    plan = make_plan(problem)
    if not isinstance(plan, Plan):
        raise RuntimeError("an instance of this benchmark has no plan")
    return plan


# ---- brute force


def least_cost(problem: Problem) -> int:
    """Return the least charge of any devices that are accepted, each with a size of its own."""
    return min(charge for crew in crews(problem) if (charge := charge_of(problem, crew)) is not None)


def crews(problem: Problem) -> Iterator[list[tuple[PoolGroup, DeviceChoice]]]:
    able = [
        [sizes for count in range(group.count + 1) for sizes in combinations_with_replacement(group.choices, count)]
        for group in problem.groups
    ]
    for chosen in product(*able):
        yield [(group, size) for group, sizes in zip(problem.groups, chosen, strict=True) for size in sizes]


def charge_of(problem: Problem, crew: list[tuple[PoolGroup, DeviceChoice]]) -> int | None:
    most = [capacity(size, time_us=problem.time_us) for _, size in crew]
    if not crew or not all(most) or problem.tariff is None:
        return None
    if not problem.rule.accepts([(images, 1) for images in sorted(most, reverse=True)], len(crew)):
        return None

    def suffices(end_us: int) -> bool:
        done = 0
        for (_, size), limit in zip(crew, most, strict=True):
            left_us = end_us - size.expected_start_us
            if left_us >= 0:
                done += min(limit, (left_us // size.latency_us + 1) * size.mini_batch_size)
        return done >= problem.images

    if not suffices(problem.time_us):
        return None
    end_us = find_least(suffices, 0, problem.time_us)
    prices = [problem.tariff.price_of(group.device_class) for group, _ in crew]
    return sum(price.charge(end_us) for price in prices if price)


# ---- the run


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    began = time.perf_counter()
    ask(Size(64, 4), 0)  # imports, and CBC's first start
    rows = [ask(size, repetition) for size, count in SIZES.items() for repetition in range(1, count + 1)]
    curve_s = {over: time_curve(over) for over in ("time", "images")}
    results = [summarize(size, [row for row in rows if row.size == size]) for size in SIZES]
    print_table(results)
    largest = results[-1]["medianMilliseconds"]
    verdicts = {
        f"4,096 GPUs x 16 classes: median {largest:.1f} ms of the processor (bar {BAR_MS} ms)": largest < BAR_MS,
        f"curves of 200 points there: {curve_s['time']:.1f} s over time, {curve_s['images']:.1f} s over images "
        f"(bar {CURVE_BAR_S} s)": max(curve_s.values()) < CURVE_BAR_S,
    }
    for sentence, holds in verdicts.items():
        console.print(f"{sentence}  {'ok' if holds else 'BELOW'}")
    RESULTS.mkdir(exist_ok=True)
    document = {"seed": SEED, "barMilliseconds": BAR_MS, "curveSeconds": curve_s, "results": results}
    (RESULTS / "cost.json").write_text(json.dumps(document, indent=1))
    console.print(f"{time.perf_counter() - began:.0f} s. Written: {RESULTS / 'cost.json'}", style="dim")
    sys.exit(not all(verdicts.values()))


def time_curve(over: Any) -> float:
    """Return the processor seconds of a curve on the largest pool."""
    problem = priced(Size(4096, 16), 1)
    started = processor_s()
    curve_of(problem, over=over)
    return processor_s() - started


def summarize(size: Size, rows: list[Row]) -> dict[str, Any]:
    """Return the medians and shares of the rows of one size."""
    one_class = [row.to_one_class for row in rows if row.to_one_class is not None]
    least = [row.to_least for row in rows if row.to_least is not None]
    low, middle, high = statistics.quantiles([row.milliseconds for row in rows], n=4)
    return {
        "gpus": size.gpus,
        "classes": size.classes,
        "jobs": len(rows),
        "medianMilliseconds": middle,
        "quartilesMilliseconds": [low, high],
        "proved": sum(row.proved for row in rows) / len(rows),
        "withSolver": sum(row.with_solver for row in rows) / len(rows),
        "meanGap": statistics.mean(row.gap for row in rows),
        "largestGap": max(row.gap for row in rows),
        "toFewest": statistics.mean(row.to_fewest for row in rows),
        "oneClassCan": len(one_class) / len(rows),
        "toOneClass": statistics.mean(one_class) if one_class else None,
        "bruteForce": len(least),
        "equalsBruteForce": sum(ratio == 1 for ratio in least),
        "farthestFromBruteForce": max(least, default=None),
    }


def print_table(results: list[dict[str, Any]]) -> None:
    table = Table(title="Least cost on random pools and jobs", title_justify="left")
    table.add_column("GPUs x classes")
    for heading in (
        "jobs",
        "ms (quartiles)",
        "proved",
        "gap mean",
        "largest",
        "of MinGPUs",
        "of one class",
        "brute force",
    ):
        table.add_column(heading, justify="right")
    for row in results:
        low, high = row["quartilesMilliseconds"]
        table.add_row(
            f"{row['gpus']:,} x {row['classes']}",
            str(row["jobs"]),
            f"{row['medianMilliseconds']:.1f} ({low:.1f} - {high:.1f})",
            f"{row['proved']:.0%}",
            f"{row['meanGap']:.2%}",
            f"{row['largestGap']:.2%}",
            f"{row['toFewest']:.1%}",
            f"{row['toOneClass']:.1%} of {row['oneClassCan']:.0%}" if row["toOneClass"] else "none can",
            f"{row['equalsBruteForce']} of {row['bruteForce']} equal" if row["bruteForce"] else "",
        )
    console.print(table)


if __name__ == "__main__":
    main()
