"""Figures of what was learnt: the features that decide W, and how far predictions are off."""

from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from dueby_study.figures.profiles import COLOURS, STYLE
from dueby_study.warmup.learning.held_out import ClassErrors
from dueby_study.warmup.learning.importance import Importance
from dueby_study.warmup.learning.learn import LearnedWarmups

# The fields of ClassErrors in the order in which they are drawn, with the figure's words for them.
_COMPARED = {
    "model": "all features",
    "four": "four parameters",
    "family_line": "its family's line in the mini-batch size",
    "line": "its class's line in the mini-batch size",
    "constant": "its class's median",
}


def save(draw: Callable[[LearnedWarmups], Figure], learned: LearnedWarmups, path: Path) -> Path:
    """Draw the figure in the documents' style and save it; return the file."""
    matplotlib.use("Agg")  # needs no display
    with pyplot.rc_context(STYLE):
        figure = draw(learned)
        figure.savefig(path)
        pyplot.close(figure)
    return path


def draw_importances(learned: LearnedWarmups) -> Figure:
    """Draw the groups that matter most, the first on top, with their intervals."""
    importances = learned.importances
    figure: Figure
    figure, axes = pyplot.subplots(figsize=(8.4, 0.34 * len(importances) + 1.2), layout="constrained")
    places = range(len(importances), 0, -1)
    means = [importance.mean for importance in importances]
    axes.barh(places, means, color=COLOURS[0], alpha=0.85, height=0.62)
    # One of 20 splits can be so far out that the mean lies outside the range of 90 %, so the range can't be drawn as
    # error bars around the mean.
    for place, importance in zip(places, importances, strict=True):
        axes.plot((importance.low, importance.high), (place, place), "|-", color="#222222", lw=1.1, ms=5)
    axes.set_yticks(places, [_named(importance) for importance in importances])
    axes.set(xlabel="growth of the error of log W where these are shuffled")
    axes.set_title("What decides the time of the first mini-batch")
    axes.set_axisbelow(True)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    return figure


def draw_errors(learned: LearnedWarmups) -> Figure:
    """Draw predicted over measured times on the left, and errors by class on the right, all at unseen
    configurations.
    """
    figure: Figure
    figure, (pairs, bars) = pyplot.subplots(1, 2, figsize=(9.6, 4.0), layout="constrained", width_ratios=(1, 1.15))
    _plot_pairs(pairs, learned)
    _plot_bars(bars, learned.errors)
    return figure


def _plot_pairs(axes: Axes, learned: LearnedWarmups) -> None:
    measured, guessed = np.exp(learned.sample.log_us) / 1000, np.exp(learned.unseen["four"]) / 1000
    for name, colour in zip(sorted(learned.errors), COLOURS, strict=False):
        mine = learned.sample.of_class(name)
        axes.scatter(measured[mine], guessed[mine], s=9, color=colour, alpha=0.6, linewidths=0, label=name)
    ends = [min(measured.min(), guessed.min()) / 1.2, 1.2 * max(measured.max(), guessed.max())]
    axes.plot(ends, ends, color="#222222", linewidth=0.9)
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    axes.set(xlabel="measured W (ms)", ylabel="predicted from four parameters (ms)")
    axes.set_title("Configurations that were not seen")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.legend(fontsize=8, loc="upper left", markerscale=2)


def _plot_bars(axes: Axes, errors: Mapping[str, ClassErrors]) -> None:
    names = sorted(errors)
    height = 0.8 / len(names)
    for number, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        places = [len(_COMPARED) - row - number * height for row in range(len(_COMPARED))]
        values = [getattr(errors[name], field) for field in _COMPARED]
        axes.barh(places, values, height=0.9 * height, color=colour, alpha=0.85, label=name)
        for place, value in zip(places, values):
            axes.text(value, place, f" {value:.0%}", va="center", fontsize=8)
    middle = (len(names) - 1) * height / 2
    axes.set_yticks([len(_COMPARED) - row - middle for row in range(len(_COMPARED))], list(_COMPARED.values()))
    most = max(getattr(error, field) for error in errors.values() for field in _COMPARED)
    axes.set(xlabel="median relative error of W", xlim=(0, 1.12 * most))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_title("Predicted by")
    axes.set_axisbelow(True)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.legend(fontsize=8, loc="upper right")


def _named(importance: Importance) -> str:
    """Return a label short enough for an axis. All members are listed in the JSON document."""
    others = [member for member in importance.members if member != importance.name]
    if len(others) > 1:
        return f"{importance.name} and {len(others)} alike"
    return ", ".join([importance.name, *others])
