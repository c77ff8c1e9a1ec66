"""Draw figures of profiles: L and W over the mini-batch size, and memory over image size and mini-batch size.

    python -m dueby_study.figures.profiles --profiles DIR -o docs/figures

DIR holds profiles and, for the second figure, a memory map, as written by `dueby profile` and `dueby profile
--memory-map`. The study draws its figures in the same style.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import linear_regression

import matplotlib
import yaml
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from dueby_api.classifiers import plain_name
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, parse_profile
from dueby_api.schema import validate
from dueby_profiler.measuring.memory_map import MemoryMap

# Distinguishable with any kind of colour vision, and in print by their lightness.
COLOURS = ("#0b5fa5", "#d1590a", "#1a8a66", "#8a3b8f", "#6b6b6b", "#b8860b")
STYLE = {
    "figure.dpi": 160,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "savefig.bbox": "tight",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw every figure that is possible; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dueby_study.figures.profiles", description=__doc__.split("\n")[0])
    parser.add_argument("--profiles", required=True, type=Path, metavar="DIR", help="folder that dueby profile wrote")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="folder for the figures")
    options = parser.parse_args(arguments)
    matplotlib.use("Agg")  # needs no display
    pyplot.rcParams.update(STYLE)
    try:
        for path in draw(options.profiles, options.output):
            print(path)
    except Invalid as error:
        print(f"figures: {error}", file=sys.stderr)
        return 2
    return 0


def draw(folder: Path, output: Path) -> list[Path]:
    """Draw every figure that the folder's contents allow; return the files. Raise Invalid if there are none to draw."""
    profiles, maps = read(folder)
    if not profiles and not maps:
        raise Invalid("--profiles", f"{folder} holds no profiles; measure some with: dueby profile -o {folder}")
    output.mkdir(parents=True, exist_ok=True)
    subjects: dict[str, list[GPUProfile]] = defaultdict(list)
    for profile in profiles:
        model = profile.spec.model
        subjects[f"{plain_name(model.name)}-{model.image_size}-{model.precision}"].append(profile)
    figures = [(draw_latency(profiles), f"latency-{name}.png") for name, profiles in subjects.items()]
    figures += [(draw_memory(memory_map), f"{memory_map.name}.png") for memory_map in maps]
    for figure, name in figures:
        figure.savefig(output / name)
        pyplot.close(figure)
    return [output / name for _, name in figures]


def read(folder: Path) -> tuple[list[GPUProfile], list[MemoryMap]]:
    """Return the profiles and memory maps of a folder."""
    profiles = [
        parse_profile(document, origin=str(path))
        for path in sorted(folder.glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    maps = [
        validate(MemoryMap, json.loads(path.read_bytes()), origin=str(path))
        for path in sorted(folder.glob("memory-*.json"))
    ]
    return profiles, maps


def draw_latency(profiles: Sequence[GPUProfile]) -> Figure:
    """Draw L, from its median to its p95, and W on the left; images per second of all devices together on the right."""
    figure: Figure
    figure, (times, rates) = pyplot.subplots(1, 2, figsize=(9.6, 3.9), layout="constrained")
    model = profiles[0].spec.model
    figure.suptitle(f"{model.name}, {model.image_size} px, {model.precision}", fontsize=11, x=0.01, ha="left")
    for profile, colour in zip(profiles, COLOURS, strict=False):
        _plot_times(times, profile, colour)
        _plot_rates(rates, profile, colour)
    sizes = sorted({step.mini_batch_size for profile in profiles for step in profile.spec.steps})
    for axes in (times, rates):
        name_sizes(axes, sizes)
    times.set(
        yscale="log", ylabel="time of a mini-batch (ms)", title="Steady (L, band from median to p95) and first (W)"
    )
    times.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    rates.set(ylabel="images per second", title="Throughput of all devices side by side")
    count_from_zero(rates)
    times.legend(fontsize=8)
    rates.legend(fontsize=8, loc="lower right")
    return figure


def draw_memory(memory_map: MemoryMap) -> Figure:
    """Draw a map of cells on the left, and the lines on which they lie on the right."""
    figure: Figure
    figure, (cells, lines) = pyplot.subplots(1, 2, figsize=(9.6, 3.9), layout="constrained", width_ratios=(1.15, 1))
    figure.suptitle(
        f"{memory_map.model}, {memory_map.precision}, {memory_map.engine} ({memory_map.device_class})",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    sides = sorted({cell.image_size for cell in memory_map.cells})
    sizes = sorted({cell.mini_batch_size for cell in memory_map.cells})
    peaks = {(cell.image_size, cell.mini_batch_size): cell.memory_mib for cell in memory_map.cells}
    _plot_cells(cells, sides, sizes, peaks)
    for side, colour in zip(sides, COLOURS, strict=False):
        points = [(size, mib) for size in sizes if (mib := peaks.get((side, size)))]
        slope = f", {linear_regression(*zip(*points)).slope:.1f} MiB an image" if len(points) > 1 else ""
        lines.plot(*zip(*points), color=colour, marker="o", markersize=4.5, label=f"{side} px{slope}")
    lines.set(
        ylim=(0, None), xlim=(0, None), xlabel="mini-batch size (images)", ylabel="peak memory of a process (MiB)"
    )
    lines.set_title("Memory is linear in the mini-batch size")
    lines.set_xticks(sizes, [f"{size:,}" for size in sizes])
    lines.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    lines.legend(fontsize=8)
    return figure


def _plot_times(axes: Axes, profile: GPUProfile, colour: str) -> None:
    steps = profile.spec.steps
    sizes = [step.mini_batch_size for step in steps]
    means = [step.latency_micros.mean / 1000 for step in steps]
    # Profiles written by hand may lack the quantiles.
    low = [(step.latency_micros.p50 or step.latency_micros.mean) / 1000 for step in steps]
    high = [(step.latency_micros.p95 or step.latency_micros.mean) / 1000 for step in steps]
    axes.fill_between(sizes, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(sizes, means, color=colour, marker="o", markersize=4.5, label=f"L, {_device(profile)}")
    warm = [(step.mini_batch_size, step.warmup_micros.p50 / 1000) for step in steps if step.warmup_micros]
    axes.plot(
        *zip(*warm),
        color=colour,
        marker="D",
        markersize=5,
        markerfacecolor="white",
        linestyle=":",
        linewidth=1.2,
        label=f"W, {profile.spec.device_class}",
    )


def _plot_rates(axes: Axes, profile: GPUProfile, colour: str) -> None:
    steps, devices = profile.spec.steps, profile.spec.device.slices or 1
    rates = [devices * step.mini_batch_size * 1e6 / step.latency_micros.mean for step in steps]
    axes.plot(
        [s.mini_batch_size for s in steps], rates, color=colour, marker="o", markersize=4.5, label=_device(profile)
    )


def _plot_cells(
    axes: Axes, sides: Sequence[int], sizes: Sequence[int], peaks: Mapping[tuple[int, int], int | None]
) -> None:
    peaks_mib = [mib for mib in peaks.values() if mib]
    # Below the smallest value, so that its cell is not white like those that hold none.
    scale = LogNorm(vmin=min(peaks_mib) / 1.5, vmax=max(peaks_mib))
    grid = [[peaks.get((side, size)) or float("nan") for size in sizes] for side in sides]
    axes.imshow(grid, cmap="Blues", norm=scale, aspect="auto", origin="lower")
    for row, side in enumerate(sides):
        for column, size in enumerate(sizes):
            mib = peaks.get((side, size))
            # Readable on dark cells and on light ones.
            shade = "white" if mib and scale(mib) > 0.55 else "#222222"
            axes.text(column, row, f"{mib:,}" if mib else "does not fit", ha="center", va="center", color=shade)
    axes.set_xticks(range(len(sizes)), [f"{size:,}" for size in sizes])
    axes.set_yticks(range(len(sides)), [f"{side:,}" for side in sides])
    axes.set(xlabel="mini-batch size (images)", ylabel="image size (px)", title="Peak memory of a process (MiB)")
    axes.grid(visible=False)
    axes.tick_params(length=0)


def name_sizes(axes: Axes, sizes: Sequence[int]) -> None:
    """Label the x axis with the mini-batch sizes, on a scale of doublings."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("mini-batch size (images)")


def count_from_zero(axes: Axes) -> None:
    """Let the y axis begin at 0, with room above the highest mark.

    The usual margin is a share of the range drawn, which is too small once the axis begins at 0.
    """
    axes.set_ylim(0, 1.06 * axes.get_ylim()[1])


def _device(profile: GPUProfile) -> str:
    spec = profile.spec
    count = f"{spec.device.slices} × " if (spec.device.slices or 1) > 1 else ""
    return f"{count}{spec.device_class}, {spec.engine}"


if __name__ == "__main__":
    sys.exit(main())
