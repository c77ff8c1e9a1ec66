"""The time of a plan that is found, proved and verified, beside other ways to the same number of GPUs.

    python benchmarks/planner.py            # about a minute on 2 cores; writes results/planner.json and planner.png

- DueBy: make_plan, which is all that makes a plan: the closed form, PuLP's answer by classes, part size, earliest
  finish, iterations, certificate and the exact check. It runs once with the margin of confidence 0.95, for which the
  bar is, and once as the study's own model (confidence 0.5), which the other ways can answer, too.
- closed form: the number of GPUs alone, without a plan and without proof.
- CP-SAT: OR-tools' exact solver on integers, by classes and mini-batch sizes; the number alone, proven by the solver.
- PuLP per GPU: the study's formulation, a row for each GPU, which gets a time limit and only the smaller pools.

Every repetition makes new random profiles and asks all ways about them, in an order that rotates. If the answers
differ, the run says so and fails.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulp
from ortools.sat.python import cp_model
from rich.console import Console
from rich.table import Table

from dueby_planner.deadline_classes import make_plan
from dueby_planner.model.capacity import capacity
from dueby_planner.model.plan import Plan
from dueby_planner.model.problem import Problem
from planner_chart import draw_chart
from planner_instances import LARGEST, SEED, SIZES, Size, instance

RESULTS = Path(__file__).parent / "results"
BAR_MS = 10
REPETITIONS = 100
# PuLP per GPU takes seconds, so it joins only the first repetitions of a pool size, and none of the largest.
PER_GPU_REPETITIONS = {8: 100, 64: 20, 512: 5}
PER_GPU_LIMIT_S = 10
console = Console(width=120)


@dataclass(frozen=True)
class Answer:
    """The answer of one way: the number of GPUs (None: nothing in time) and whether it comes with a proof."""

    gpus: int | None
    is_proven: bool


# ---- the ways


def dueby(problem: Problem) -> Answer:
    plan = make_plan(problem)
    if not isinstance(plan, Plan):
        raise RuntimeError("an instance of this benchmark has no plan")
    return Answer(plan.gpus, plan.proof == "ClosedForm+CBC")


def closed_form(problem: Problem) -> Answer:
    return Answer(problem.fewest(), is_proven=False)


def cp_sat(problem: Problem) -> Answer:
    """Ask CP-SAT, with an integer for each class and mini-batch size."""
    model = cp_model.CpModel()
    every, images = [], []
    for group in problem.groups:
        counts = []
        for choice in group.choices:
            able = capacity(choice, time_us=problem.time_us)
            if able:
                counts.append(model.new_int_var(0, group.count, ""))
                images.append(able * counts[-1])
        model.add(sum(counts) <= group.count)
        every += counts
    model.add(sum(images) >= problem.images)
    model.minimize(sum(every))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1  # more threads only add their start to programs as small as these
    status = solver.solve(model)
    return Answer(round(solver.objective_value), status == cp_model.OPTIMAL)


def pulp_per_gpu(problem: Problem) -> Answer:
    """Ask PuLP the study's program: for each GPU and size, whether it is used (y) and its iterations (t)."""
    program = pulp.LpProblem("study", pulp.LpMinimize)
    every, done = [], []
    for group in problem.groups:
        for number in range(group.count):
            used = []
            for choice in group.choices:
                most = (problem.time_us - choice.start_us) // choice.latency_us
                if most < 0:
                    continue
                name = f"{group.device_class}_{number}_{choice.mini_batch_size}"
                y = program.add_variable(f"y{name}", 0, 1, pulp.LpInteger)
                t = program.add_variable(f"t{name}", 0, most, pulp.LpInteger)
                spare_s = (problem.time_us - choice.start_us) / 1e6
                program += choice.latency_us / 1e6 * t <= spare_s * y
                used.append(y)
                done.append(choice.mini_batch_size * (t + y))
            program += pulp.lpSum(used) <= 1
            every += used
    program.setObjective(pulp.lpSum(every))
    program += pulp.lpSum(done) >= problem.images
    solver = pulp.COIN_CMD(path=pulp.PULP_CBC_CMD.pulp_cbc_path, msg=False, timeLimit=PER_GPU_LIMIT_S)
    program.solve(solver)
    if program.sol_status not in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible):
        return Answer(None, is_proven=False)
    return Answer(round(sum(y.value() for y in every)), program.sol_status == pulp.LpSolutionOptimal)


OURS, STUDY = "DueBy, confidence 0.95", "DueBy, study's model"
CLOSED_FORM, CP_SAT, PER_GPU = "closed form, number only", "CP-SAT, number only", "PuLP per GPU"
WAYS: dict[str, tuple[float, Callable[[Problem], Answer]]] = {
    OURS: (0.95, dueby),
    STUDY: (0.5, dueby),
    CLOSED_FORM: (0.5, closed_form),
    CP_SAT: (0.5, cp_sat),
    PER_GPU: (0.5, pulp_per_gpu),
}


# ---- the run


def main() -> None:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    began = time.perf_counter()
    rows = [row for repetition in range(REPETITIONS + 1) for size in SIZES for row in ask_all(size, repetition)]
    results = summarize([row for row in rows if row["repetition"]])  # the first one only warms up
    print_table(results)
    ok = judge(results, rows)
    RESULTS.mkdir(exist_ok=True)
    document = {"repetitions": REPETITIONS, "barMilliseconds": BAR_MS, "seed": SEED, "results": results}
    (RESULTS / "planner.json").write_text(json.dumps(document, indent=1))
    draw_chart(results, bar_ms=BAR_MS, path=RESULTS / "planner.png")
    console.print(f"{time.perf_counter() - began:.0f} s. Written: {RESULTS / 'planner.json'} and .png", style="dim")
    sys.exit(not ok)


def ask_all(size: Size, repetition: int) -> list[dict[str, Any]]:
    """Return every way's answer and time for one instance, in an order that rotates from repetition to repetition."""
    names = [name for name in WAYS if name != PER_GPU or is_asked_per_gpu(size, repetition)]
    turn = repetition % len(names)
    rows = []
    for name in names[turn:] + names[:turn]:
        confidence, way = WAYS[name]
        problem = instance(size, repetition, confidence)
        started = time.perf_counter()
        answer = way(problem)
        milliseconds = (time.perf_counter() - started) * 1e3
        rows.append(
            {
                "gpus": size.gpus,
                "classes": size.classes,
                "askedImages": size.images,
                "images": problem.images,
                "way": name,
                "repetition": repetition,
                "milliseconds": milliseconds,
                "answer": answer.gpus,
                "proven": answer.is_proven,
            }
        )
    return rows


def is_asked_per_gpu(size: Size, repetition: int) -> bool:
    return size.images is None and 0 < repetition <= PER_GPU_REPETITIONS.get(size.gpus, 0)


# ---- the results


def summarize(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each way's median and quartiles by size, and the median of its ratios to DueBy in the same repetition."""
    results = []
    for size in SIZES:
        of_size = [
            r for r in rows if (r["gpus"], r["classes"], r["askedImages"]) == (size.gpus, size.classes, size.images)
        ]
        ours = {r["repetition"]: r["milliseconds"] for r in of_size if r["way"] == STUDY}
        for way in WAYS:
            mine = [r for r in of_size if r["way"] == way]
            if not mine:
                continue
            low, middle, high = statistics.quantiles([r["milliseconds"] for r in mine], n=4)
            results.append(
                {
                    "gpus": size.gpus,
                    "classes": size.classes,
                    "askedImages": size.images,
                    "images": round(statistics.median(r["images"] for r in mine)),
                    "way": way,
                    "repetitions": len(mine),
                    "medianMilliseconds": middle,
                    "quartilesMilliseconds": [low, high],
                    "ratio": statistics.median(r["milliseconds"] / ours[r["repetition"]] for r in mine),
                    "proven": sum(r["proven"] for r in mine),
                }
            )
    return results


def print_table(results: list[dict[str, Any]]) -> None:
    table = Table(title=f"Time to the fewest GPUs, {REPETITIONS} random instances of each size", title_justify="left")
    for heading in ("GPUs x classes", "N (median)", "way"):
        table.add_column(heading)
    for heading in ("median ms", "quartiles", "x study's", "proven"):
        table.add_column(heading, justify="right")
    before = None
    for row in results:
        size = (row["gpus"], row["classes"], row["askedImages"])
        if before not in (None, size):
            table.add_section()
        low, high = row["quartilesMilliseconds"]
        table.add_row(
            "" if size == before else f"{row['gpus']:,} x {row['classes']}",
            "" if size == before else f"{row['images']:,}",
            row["way"],
            f"{row['medianMilliseconds']:,.2f}",
            f"{low:,.2f} to {high:,.2f}",
            f"{row['ratio']:,.2f}",
            "no proof" if row["way"] == CLOSED_FORM else f"{row['proven']} of {row['repetitions']}",
        )
        before = size
    console.print(table)


def judge(results: list[dict[str, Any]], rows: list[dict[str, Any]]) -> bool:
    """Print whether the bar is met, every plan is proved and all ways agree."""
    (ours,) = (
        r
        for r in results
        if (r["gpus"], r["classes"], r["askedImages"], r["way"]) == (LARGEST.gpus, LARGEST.classes, None, OURS)
    )
    plans = [r for r in rows if r["way"] in (OURS, STUDY)]
    proven = sum(r["proven"] for r in plans)
    asked: dict[tuple[Any, ...], set[int]] = {}
    for row in rows:
        if row["way"] != OURS and row["answer"] is not None and (row["proven"] or row["way"] != PER_GPU):
            key = (row["gpus"], row["classes"], row["askedImages"], row["repetition"])
            asked.setdefault(key, set()).add(row["answer"])
    differ = sum(len(answers) > 1 for answers in asked.values())
    is_quick = ours["medianMilliseconds"] < BAR_MS
    verdicts = {
        f"{LARGEST.gpus:,} GPUs x {LARGEST.classes} classes: median {ours['medianMilliseconds']:.1f} ms "
        f"(bar {BAR_MS} ms)": is_quick,
        f"plans proved by closed form and solver: {proven:,} of {len(plans):,}": proven == len(plans),
        f"instances on which the ways differ: {differ} of {len(asked):,}": differ == 0,
    }
    for sentence, holds in verdicts.items():
        console.print(f"{sentence}  {'ok' if holds else 'BELOW'}")
    return all(verdicts.values())


if __name__ == "__main__":
    main()
