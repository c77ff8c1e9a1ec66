"""The table of operator_scale.py, and whether its two bars are met.

The bars are what the operator is to keep on every round: the seconds from `kubectl apply` to the last worker's Job, and
the most memory that it ever holds. They are written beside the figures, so that a result says what it was held to.
"""

import statistics
from collections import Counter

from rich.console import Console
from rich.table import Table

from large_cluster import Document
from operator_scale_objects import FILL, JOBS

BAR_S, BAR_MIB = 10.0, 300


def tell(console: Console, document: Document) -> bool:
    """Print the figures with their spread; whether the bars are met."""
    rounds = document["rounds"]
    ours, theirs = [row["operator"] for row in rounds], [row["byHand"] for row in rounds]
    requests = [
        sum(count for what, count in row["requestsUntilAllRun"].items() if is_write(what)) / JOBS for row in ours
    ]
    rows = {
        "kubectl apply of 100 InferenceJobs, s": [row["kubectlSeconds"] for row in ours],
        "apply to last worker Job, s": (last := [row["lastWorkerJobSeconds"] for row in ours]),
        "last InferenceJob to last worker Job, s": [
            a["lastWorkerJobSeconds"] - a["lastInferenceJobSeconds"] for a in ours
        ],
        "by hand: apply to last Job, s": (hand := [row["lastJobSeconds"] for row in theirs]),
        "ratio": [a / b for a, b in zip(last, hand, strict=True)],
        "operator's CPU, apply to last worker Job, s": [row["cpuSeconds"] for row in ours],
        "operator's peak memory, MiB": (peaks := [row["peakMiB"] for row in ours]),
        "operator's writes per job, until all run": requests,
        "by hand: requests per job": [sum(row["requests"].values()) / JOBS for row in theirs],
    }
    table = Table(title=f"{JOBS} jobs on {len(FILL.products):,} nodes beside {FILL.pods:,} pods", title_justify="left")
    for heading in ("", "median", "least", "most"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, values in rows.items():
        table.add_row(name, *(f"{value:,.2f}" for value in (statistics.median(values), min(values), max(values))))
    console.print(table)
    console.print("The operator's requests until all jobs run:")
    by_kind: Counter[str] = Counter()
    for row in ours:
        by_kind.update(row["requestsUntilAllRun"])
    for what, count in sorted(by_kind.items()):
        console.print(f"  {what}: {count / JOBS / len(ours):.2f} per job")
    quiet = ours[-1].get("quiet", {})
    console.print(f"A quiet minute: {quiet}")
    verdicts = {
        f"last worker Job within {BAR_S:.0f} s": max(last) < BAR_S,
        f"below {BAR_MIB} MiB": max(peaks) < BAR_MIB,
    }
    for sentence, holds in verdicts.items():
        console.print(f"{sentence}  {'ok' if holds else 'MISSED'}")
    return all(verdicts.values())


def is_write(what: str) -> bool:
    return what.split()[0] not in ("get", "list", "watch")
