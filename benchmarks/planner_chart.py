"""The figure of benchmarks/planner.py: time over the number of GPUs at 4 and at 16 classes, and over N."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = {
    "DueBy, confidence 0.95": "#0b5fa5",
    "DueBy, study's model": "#6fb1e0",
    "closed form, number only": "#8d97a3",
    "CP-SAT, number only": "#e08a3c",
    "PuLP per GPU": "#b03a48",
}


def draw_chart(results: Sequence[dict[str, Any]], *, bar_ms: float, path: Path) -> None:
    figure, panels = plt.subplots(1, 3, figsize=(12, 4.4), sharey=True, layout="constrained")
    free = [row for row in results if row["askedImages"] is None]
    draw_lines(panels[0], [r for r in free if r["classes"] == 4], over="gpus")
    draw_lines(panels[1], [r for r in free if r["classes"] == 16], over="gpus")
    draw_lines(panels[2], [r for r in results if (r["gpus"], r["classes"]) == (4096, 16)], over="images")
    panels[0].set_title("4 classes", loc="left")
    panels[1].set_title("16 classes", loc="left")
    panels[2].set_title("4,096 GPUs of 16 classes", loc="left")
    panels[0].set_ylabel("milliseconds, median and quartiles")
    for panel, label in zip(panels, ("GPUs", "GPUs", "images"), strict=True):
        panel.axhline(bar_ms, color="#444444", linestyle="--", linewidth=1)
        panel.set_xlabel(label)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(alpha=0.25)
    panels[0].annotate(f"bar {bar_ms:g} ms", (4096, bar_ms), ha="right", va="bottom", fontsize=9)
    for panel in panels[:2]:
        panel.set_xlim(6, 6000)
        panel.set_xticks([8, 64, 512, 4096], ["8", "64", "512", "4,096"])
        panel.minorticks_off()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_lines(panel: Axes, rows: Sequence[dict[str, Any]], *, over: str) -> None:
    """One line a way, with its quartiles as a band."""
    for way, colour in COLOURS.items():
        mine = sorted((r for r in rows if r["way"] == way), key=lambda r: r[over])
        places = [r[over] for r in mine]
        if not places:
            continue
        panel.loglog(places, [r["medianMilliseconds"] for r in mine], "o-", color=colour, label=way, markersize=4)
        low, high = zip(*(r["quartilesMilliseconds"] for r in mine), strict=True)
        panel.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
