"""The figures of the two models' answers."""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib import colormaps, pyplot
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from dueby_api.units import format_count
from dueby_api.words import counted
from dueby_study.answers import Answers, Curve, Map, edges
from dueby_study.figures.profiles import COLOURS

_TIME_MARKS = (1, 2, 5, 10, 30, 60, 300, 1800)


def draw_fewest(answers: Answers) -> Figure:
    """Draw model (1) over N and T: the study's own model, and at confidence 0.95."""
    figure: Figure
    figure, panels = pyplot.subplots(1, 2, figsize=(10.4, 4.2), layout="constrained", sharey=True)
    bounds = doublings(answers.devices)
    colours = ListedColormap(colormaps["Blues"]([0.08 + 0.92 * i / (len(bounds) - 1) for i in range(len(bounds))]))
    scale = BoundaryNorm([0.5, *(bound + 0.5 for bound in bounds)], len(bounds))
    for axes, what, title in (
        (panels[0], answers.exact, "The fewest devices: the study's model (1)"),
        (panels[1], answers.sure, "The same at confidence 0.95"),
    ):
        _plot_map(axes, what, colours, scale)
        axes.set_title(title)
    panels[0].set_ylabel("images, N")
    bar = figure.colorbar(ScalarMappable(norm=scale, cmap=colours), ax=panels, pad=0.015, spacing="uniform")
    middles = [(low + high) / 2 for low, high in pairwise([0.5, *(bound + 0.5 for bound in bounds)])]
    names = [f"{low + 1}" if low + 1 == high else f"{low + 1} to {high}" for low, high in pairwise([0, *bounds])]
    bar.set_ticks(middles, labels=names)
    bar.ax.tick_params(length=0)
    bar.set_label(f"devices, of {answers.devices} × {answers.device_class}")
    return figure


def draw_most(answers: Answers) -> Figure:
    """Draw model (2) over T, and the mini-batch size with which it is reached."""
    figure: Figure
    figure, (most, sizes) = pyplot.subplots(1, 2, figsize=(9.6, 3.7), layout="constrained")
    for curve, colour in zip(answers.curves, COLOURS, strict=False):
        points = [(time_us / 1e6, images) for time_us, images in zip(curve.times_us, curve.images) if images]
        what = counted(curve.devices, "device")
        most.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=3, label=what)
    most.set(yscale="log", ylabel="images", title="The most images by T: model (2)")
    most.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_count(round(value))))
    most.yaxis.set_minor_locator(NullLocator())
    most.legend(fontsize=8, loc="lower right")
    _plot_sizes(sizes, answers.curves[0])
    for axes in (most, sizes):
        _name_times(axes, answers.exact.times_us)
    return figure


def draw_printed(answers: Answers) -> Figure:
    """Draw both models as they are printed beside what is meant."""
    printed = answers.printed
    figure: Figure
    figure, (fewest, most) = pyplot.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained", width_ratios=(1.6, 1))
    for values, colour, marker, label in (
        (printed.fewest, COLOURS[0], "o", "as meant: only devices that are used"),
        (printed.fewest_printed, COLOURS[1], "s", "as printed: + 1 mini-batch of every idle one"),
    ):
        points = [(count, value) for count, value in zip(printed.images, values, strict=True) if value is not None]
        if points:
            fewest.plot(*zip(*points, strict=True), color=colour, marker=marker, markersize=4.5, label=label)
    seconds = printed.time_us / 1e6
    fewest.set(xlabel="images, N", ylabel="devices", ylim=(0, 1.25 * answers.devices))
    fewest.set_title(f"Model (1), T = {seconds:.1f} s")
    fewest.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    fewest.legend(fontsize=8, loc="upper left")
    values = (printed.most, printed.most_printed)
    drawn = most.bar(("as meant", "as printed"), values, color=COLOURS[:2], width=0.5)
    most.bar_label(drawn, labels=[f"{value:,}" for value in values], padding=3, fontsize=9)
    most.set(yscale="log", ylabel="images", title=f"Model (2), {counted(answers.devices, 'device')}")
    most.set_ylim(max(0.5, min(values) / 10), 8 * max(values))
    most.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_count(round(value))))
    most.set_axisbelow(True)
    most.grid(visible=False, axis="x")
    most.tick_params(axis="x", length=0)
    return figure


def doublings(most: int) -> list[int]:
    """Return 1, 2, 4, ... up to the first that is not below `most`, which is replaced by `most`."""
    powers = [1]
    while powers[-1] < most:
        powers.append(min(2 * powers[-1], most))
    return powers


def _plot_map(axes: Axes, cells: Map, colours: ListedColormap, scale: BoundaryNorm) -> None:
    grid = [[float("nan") if value is None else value for value in row] for row in cells.fewest]
    across = [edge / 1e6 for edge in edges(cells.times_us)]
    axes.set_facecolor("#e4e2dd")
    axes.pcolormesh(across, edges(cells.images), grid, cmap=colours, norm=scale)
    axes.set(yscale="log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_count(round(value))))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(visible=False)
    _name_times(axes, cells.times_us)
    axes.set_xlim(across[0], across[-1])
    axes.text(
        0.03, 0.96, "not even all of them", transform=axes.transAxes, ha="left", va="top", fontsize=8, color="#444444"
    )


def _plot_sizes(axes: Axes, curve: Curve) -> None:
    points = [(us / 1e6, size) for us, size in zip(curve.times_us, curve.mini_batch_sizes, strict=True) if size]
    axes.step(*zip(*points, strict=True), where="mid", color=COLOURS[0], marker="o", markersize=3)
    marks = sorted({size for _, size in points})
    axes.set(yscale="log", ylabel="mini-batch size", title="The mini-batch size that does most by T")
    axes.set_ylim(0.7 * marks[0], 1.5 * marks[-1])
    axes.set_yticks(marks, [f"{mark}" for mark in marks])
    axes.yaxis.set_minor_locator(NullLocator())


def _name_times(axes: Axes, times_us: Sequence[int]) -> None:
    low, high = times_us[0] / 1e6, times_us[-1] / 1e6
    marks = [mark for mark in _TIME_MARKS if low <= mark <= 1.01 * high]
    axes.set(xscale="log", xlabel="time, T")
    axes.set_xticks(marks, [_words(mark) for mark in marks])
    axes.xaxis.set_minor_locator(NullLocator())


def _words(seconds: int) -> str:
    """Return the time as a label: 30 s, 5 min."""
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"
