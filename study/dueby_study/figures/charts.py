"""The figures of a study: which ones exist, and those of times, latency and concurrent processes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from dueby_planner.profiles.fits import Point, fit_latency
from dueby_study.context import StudyContext
from dueby_study.figures import answer_charts
from dueby_study.figures.files import PREFIX
from dueby_study.figures.profiles import COLOURS, STYLE, count_from_zero, draw_memory, name_sizes
from dueby_study.measurements import memory
from dueby_study.measurements.times import repeated_mean_us
from dueby_study.measurements.together import words_of
from dueby_study.summary import InferenceTimes, LatencyCurves, StudySummary, Together
from dueby_study.warmup.charts import draw_errors, draw_importances
from dueby_study.warmup.learning.learn import LearnedWarmups

# Sharp on a page 1100 pixels wide, and small enough to be embedded in it.
_DPI = 115
_REPETITIONS = (3, 10, 100)
# Marks at the same size are drawn beside each other, by this ratio.
_ASIDE = 1.06
_KINDS = {"hinge": "hinge, max(f, s b)", "affine": "affine, a + s b", "spline": "monotone cubic"}


def draw_all(
    context: StudyContext, summary: StudySummary, folder: Path, *, learned: LearnedWarmups | None = None
) -> list[Path]:
    """Draw every figure that the numbers allow; return the files."""
    matplotlib.use("Agg")  # needs no display
    pyplot.rcParams.update(STYLE)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in drawings(context, summary, learned).items():
        figure = draw()
        path = folder / f"{PREFIX}{name}.png"
        figure.savefig(path, dpi=_DPI, pil_kwargs={"optimize": True})
        pyplot.close(figure)
        written.append(path)
    return written


def drawings(
    context: StudyContext, summary: StudySummary, learned: LearnedWarmups | None
) -> Mapping[str, Callable[[], Figure]]:
    """Return how each figure is drawn, by its name."""
    drawn: dict[str, Callable[[], Figure]] = {}
    cells = memory.map_of(context.row_store.rows(memory.STAGE))
    if cells:
        drawn["memory"] = lambda: draw_memory(cells)
    if times := summary.times:
        drawn["times"] = lambda: draw_times(times, model=summary.settings.model)
        if latency := times.latency:
            drawn["latency"] = lambda: draw_latency(latency)
    if answers := summary.answers:
        drawn["fewest"] = lambda: answer_charts.draw_fewest(answers)
        drawn["most"] = lambda: answer_charts.draw_most(answers)
        drawn["printed"] = lambda: answer_charts.draw_printed(answers)
    if together := summary.together:
        drawn["together"] = lambda: draw_together(together)
    if learned:
        drawn["importances"] = lambda: draw_importances(learned)
        drawn["warmups"] = lambda: draw_errors(learned)
    return drawn


def draw_times(times: InferenceTimes, *, model: str) -> Figure:
    """Draw the times without the warm-up, with it, and by how much it shifts a mean."""
    figure: Figure
    figure, (without, with_it, share) = pyplot.subplots(1, 3, figsize=(11.4, 3.8), layout="constrained")
    figure.suptitle(
        f"{model}, {times.image_size} px, {times.engine} ({times.device_class})", fontsize=11, x=0.01, ha="left"
    )
    sizes = [seen.mini_batch_size for seen in times.sizes]
    means = [seen.mean_us / 1000 for seen in times.sizes]
    without.fill_between(
        sizes,
        [seen.p5_us / 1000 for seen in times.sizes],
        [seen.p95_us / 1000 for seen in times.sizes],
        color=COLOURS[0],
        alpha=0.2,
        linewidth=0,
        label="5th to 95th percentile",
    )
    without.plot(sizes, means, color=COLOURS[0], marker="o", markersize=4.5, label="mean of steady steps, L")
    without.set_title("Without the warm-up")
    with_it.plot(
        sizes,
        [seen.warmup_us / 1000 for seen in times.sizes],
        color=COLOURS[3],
        marker="D",
        markersize=4.5,
        markerfacecolor="white",
        linestyle=":",
        label="first mini-batch, W",
    )
    with_it.plot(
        sizes,
        [seen.repeated_us / 1000 for seen in times.sizes],
        color=COLOURS[1],
        marker="s",
        markersize=4.5,
        label=f"mean of {times.repetitions}, the first included",
    )
    with_it.plot(sizes, means, color=COLOURS[0], linewidth=1.2, label="mean of steady steps, L")
    with_it.set_title("With the warm-up")
    top = max(max(seen.warmup_us, seen.p95_us, seen.mean_us) / 1000 for seen in times.sizes)
    bottom = 0.7 * min(min(means), min(seen.p5_us / 1000 for seen in times.sizes))
    for axes in (without, with_it):
        axes.set(yscale="log", ylabel="time of a mini-batch (ms)", ylim=(bottom, 5 * top))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.legend(fontsize=8, loc="upper left")
    _plot_shares(share, times)
    for axes in (without, with_it, share):
        name_sizes(axes, sizes)
    return figure


def draw_latency(curves: LatencyCurves) -> Figure:
    """Draw the time per image, what curves through the other sizes say of each size, and how far they are off."""
    figure: Figure
    figure, (lines, bars) = pyplot.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained", width_ratios=(1.5, 1))
    points = tuple(zip(curves.sizes, curves.mean_us, strict=True))
    lines.plot(
        curves.sizes,
        [mean / size / 1000 for size, mean in points],
        color=COLOURS[0],
        marker="o",
        markersize=5,
        label="measured",
    )
    for number, (kind, colour) in enumerate(zip(curves.errors, COLOURS[1:], strict=False)):
        guessed = list(left_out(points, kind))
        lines.plot(
            [size * _ASIDE ** (number - 1) for size, _ in guessed],
            [mean / size / 1000 for size, mean in guessed],
            color=colour,
            marker="os^D"[1 + number],
            markersize=5,
            markerfacecolor="white",
            linestyle="none",
            label=_KINDS[kind],
        )
    name_sizes(lines, curves.sizes)
    lines.set(ylabel="L by image (ms)", title="What an image takes; hollow: by the others' curve")
    count_from_zero(lines)
    lines.legend(fontsize=8, loc="lower left", ncols=2)
    kinds = [_KINDS[kind] for kind in curves.errors]
    shares = [100 * error for error in curves.errors.values()]
    drawn = bars.barh(kinds, shares, color=COLOURS[1 : len(kinds) + 1], height=0.55)
    bars.bar_label(drawn, labels=[f"{share:.1f} %" for share in shares], padding=4, fontsize=9)
    bars.set(xlim=(0, 1.25 * max(shares)), xlabel="standard error (%)", title="At a size that was left out")
    bars.set_axisbelow(True)
    bars.grid(visible=False, axis="y")
    bars.tick_params(axis="y", length=0)
    bars.invert_yaxis()
    return figure


def left_out(points: Sequence[Point], kind: str) -> Iterator[tuple[int, float]]:
    """Yield what the curve through the other sizes says of each inner size; nothing if too few sizes are left."""
    for number in range(1, len(points) - 1):
        fit = fit_latency((*points[:number], *points[number + 1 :]), kind=kind)
        if fit:
            yield points[number][0], fit.curve(points[number][0])


def draw_together(together: Together) -> Figure:
    """Draw images per second of each arrangement, and joules per image if they can be counted."""
    energy = {name: [rate for rate in together.rates if getattr(rate, name) is not None] for name in ("gpu_j", "cpu_j")}
    counted = [name for name, rates in energy.items() if rates]
    figure: Figure
    figure, panels = pyplot.subplots(
        1, 1 + len(counted), figsize=(5.6 + 4.4 * len(counted), 3.8), layout="constrained", squeeze=False
    )
    speed, *others = panels[0]
    sizes = sorted({rate.mini_batch_size for rate in together.rates})
    names = dict.fromkeys(rate.arrangement for rate in together.rates)
    for number, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
        rates = [rate for rate in together.rates if rate.arrangement == name]
        label = words_of(rates[0].processes, rates[0].threads, gpu=together.gpu)
        middle = [rate.images_per_second for rate in rates]
        away = [
            [rate.images_per_second - rate.least for rate in rates],
            [rate.most - rate.images_per_second for rate in rates],
        ]
        at = [rate.mini_batch_size * _ASIDE**number for rate in rates]
        speed.errorbar(at, middle, yerr=away, color=colour, marker="o", markersize=4.5, capsize=3, label=label)
        for axes, column in zip(others, counted, strict=True):
            points = [(rate.mini_batch_size, getattr(rate, column)) for rate in energy[column] if rate in rates]
            axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4.5, label=label)
    speed.set(ylabel="images per second", title="All processes together, least to most of the rounds")
    count_from_zero(speed)
    for axes, column in zip(others, counted, strict=True):
        what = "the GPU" if column == "gpu_j" else "the processor"
        axes.set(ylabel="joules an image", title=f"Energy of {what}")
        count_from_zero(axes)
    for axes in (speed, *others):
        name_sizes(axes, sizes)
    speed.legend(fontsize=8, loc="lower right")
    return figure


def _plot_shares(axes: Axes, times: InferenceTimes) -> None:
    sizes = [seen.mini_batch_size for seen in times.sizes]
    for repetitions, colour in zip(_REPETITIONS, COLOURS[3:], strict=False):
        shares = [
            100 * (repeated_mean_us(seen.warmup_mean_us, seen.mean_us, repetitions) / seen.mean_us - 1)
            for seen in times.sizes
        ]
        axes.plot(
            sizes,
            shares,
            color=COLOURS[1] if repetitions == times.repetitions else colour,
            marker="o",
            markersize=4,
            label=f"of {repetitions} mini-batches",
        )
    axes.axhline(0, color="#888888", linewidth=0.8)
    axes.set(ylabel="above the steady mean (%)", title="How far the warm-up shifts a mean")
    axes.legend(fontsize=8, loc="upper right")
