"""The reliability plot of calibration.py and its tables."""

from collections import Counter
from pathlib import Path
from statistics import fmean, median
from typing import Any

import matplotlib as mpl
from rich.console import Console
from rich.table import Table

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = ("#4c78a8", "#1f3b57", "#54a24b", "#b279a2", "#e45756")


def print_tables(console: Console, result: dict[str, Any]) -> None:
    """Stated against observed, and what the margin costs."""
    table = Table(title="Share of runs that were done by when the plan says", title_justify="left")
    table.add_column("stated", justify="right")
    names = list(result["reliability"])
    for name in names:
        table.add_column(f"{name} (95 % interval)", justify="right")
    for rows in zip(*result["reliability"].values(), strict=True):
        table.add_row(f"{rows[0]['stated']:g}", *(_share(row) for row in rows))
    console.print(table)
    for name, rows in result["cost"].items():
        done = [row for row in rows if row["enough"]]
        more = Counter(row["planned"] - row["enough"] for row in done)
        told = ", ".join(f"{count} more in {number / len(done):.0%}" for count, number in sorted(more.items()))
        too_many = sum(row["planned"] for row in done) / sum(row["enough"] for row in done) - 1
        console.print(
            f"{name}: of {len(rows)} plans at 0.95 {len(done) / len(rows):.1%} were in time. Over the least that would "
            f"have done: {told}; in all {too_many:.1%}."
        )
    errors = [abs(row["actual"] / row["expected"] - 1) for row in result["real"]]
    if errors:
        console.print(f"Real runs: median absolute error of the expected finish {median(errors):.1%}.")
        stated = fmean(row["stated"] for row in result["real"])
        console.print(
            f"Real runs: {sum(row['inTime'] for row in result['real'])} of {len(errors)} met their deadline; the sum "
            f"of the stated probabilities is {stated * len(errors):.1f}."
        )


def _share(row: dict[str, float]) -> str:
    return f"{row['observed']:.3f} ({row['low']:.3f} to {row['high']:.3f})"


def draw(result: dict[str, Any], path: Path) -> None:
    """Left the reliability, right the devices beyond the least."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.4), layout="constrained")
    left.plot([0.5, 1], [0.5, 1], color="#999999", lw=1, label="as stated")
    for shift, ((name, rows), colour) in enumerate(zip(result["reliability"].items(), COLOURS, strict=False)):
        x = [row["stated"] + 0.003 * (shift - 1) for row in rows]
        spans = [
            [row["observed"] - row["low"] for row in rows],
            [row["high"] - row["observed"] for row in rows],
        ]
        y = [row["observed"] for row in rows]
        left.errorbar(x, y, yerr=spans, fmt="o-", ms=4, lw=1, color=colour, capsize=2, label=name)
    left.set(xlim=(0.53, 1.01), ylim=(0.4, 1.02), xlabel="stated confidence", ylabel="share of runs done by then")
    left.set_title("Reliability of plans that are left to themselves", loc="left")
    width = 0.8 / len(result["cost"])
    for place, (name, rows) in enumerate(result["cost"].items()):
        more = Counter(row["planned"] - row["enough"] for row in rows if row["enough"])
        total, ticks = sum(more.values()), range(max(more) + 1)
        at = [tick + width * (place - (len(result["cost"]) - 1) / 2) for tick in ticks]
        colour = COLOURS[list(result["reliability"]).index(name)]
        right.bar(at, [more[n] / total for n in ticks], color=colour, width=width)
    right.xaxis.get_major_locator().set_params(integer=True)
    right.set(xlabel="devices planned at 0.95 beyond the least that would have done", ylabel="share of runs in time")
    right.set_title("What the margin costs", loc="left")
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.savefig(path, dpi=150)
