"""The figure of benchmarks/pipeline.py: speed, CPU time and memory of each way, side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes

matplotlib.use("Agg")
PEER, PEER_TUNED, EAGER, OPENVINO = "#c3c9d0", "#8d97a3", "#6fb1e0", "#0b5fa5"
# What is drawn, its title, and how a value is written.
PANELS = (
    ("imagesPerSecond", "images a second, start-up included", "{:.0f}"),
    ("cpuSeconds", "CPU seconds", "{:.0f}"),
    ("peakMiB", "peak memory, MiB", "{:,.0f}"),
)


def draw_chart(result: Mapping[str, Any], path: Path) -> None:
    """Bars are medians over the rounds, whiskers reach from the least to the most."""
    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(12, 3.4), sharey=True, layout="constrained")
    settings, machine = result["settings"], result["machine"]
    for panel, (key, title, form) in zip(axes, PANELS, strict=True):
        draw_panel(panel, result, key, form)
        panel.set_title(title, fontsize=10)
    axes[0].set_yticks(range(len(result["ways"])), [way["title"] for way in result["ways"]])
    axes[0].invert_yaxis()
    figure.suptitle(
        f"{settings['photos']:,} JPEGs of {settings['size'][0]}x{settings['size'][1]}, {settings['model']}, "
        f"{settings['precision']}, {machine['cores']} cores, {settings['rounds']} interleaved rounds",
        fontsize=11,
    )
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def draw_panel(panel: Axes, result: Mapping[str, Any], key: str, form: str) -> None:
    """One measure of every way, the value at the end of its bar."""
    most = max(way[key]["max"] for way in result["ways"])
    for place, way in enumerate(result["ways"]):
        found = way[key]
        low, high = found["median"] - found["min"], found["max"] - found["median"]
        panel.barh(place, found["median"], color=colour(way["name"]), height=0.7, xerr=[[low], [high]], capsize=2)
        panel.text(found["max"] + 0.02 * most, place, form.format(found["median"]), va="center", fontsize=9)
    panel.set_xlim(0, 1.18 * most)
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(left=False)


def colour(name: str) -> str:
    """DueBy's ways in blue, the peers' in grey."""
    if name.startswith("dueby"):
        return OPENVINO if name.endswith("openvino") else EAGER
    return PEER_TUNED if name.endswith("tuned") else PEER
