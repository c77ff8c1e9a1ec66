"""`dueby.profile`: measure this machine, as `dueby profile` does."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dueby.inputs.files import PROFILES_VARIABLE, profile_home
from dueby.inputs.needs import needing
from dueby.library.inputs import AnyPath, Tell, path_of
from dueby.library.pages import Section, framed, render_sections
from dueby.library.progress import Progress
from dueby_api.engines import Precision
from dueby_api.gpu_profile import GPUProfile
from dueby_api.units import MICROS_PER_SECOND

if TYPE_CHECKING:
    from dueby_pages.charts.svg import Markup

# Of the chart, and above it for the line of its largest value.
_PLOT_PX, _TOP_PX, _HEADROOM = 160, 12, 1.08


class Profiles(tuple[GPUProfile, ...]):
    """The GPUProfile of each device class; a notebook shows them as tables and charts."""

    def _repr_html_(self) -> str | None:
        return framed(lambda: render_sections("Profiles", [_section(profile) for profile in self]))


def profile(
    model: str = "efficientnet_b0",
    *,
    folder: AnyPath | None = None,
    weights: str | None = None,
    image_size: int = 224,
    precision: Precision = "fp32",
    engine: str = "auto",
    photos: str | None = None,
    classes: Sequence[str] = (),
    quick: bool = False,
    tell: Tell | None = None,
) -> Profiles:
    """Measure this machine with the model, write a profile for each of its device classes, and return them.

    `folder` is where they are written, by default where `dueby.plan` and `dueby.run` look for them. `weights` are named
    as in a job, by default "none", which are random ones, because weights don't change the times; of a
    python/MODULE:FUNCTION model they are "DEFAULT", those that the function makes. `image_size` is in pixels. `photos`
    is a URI of photos, as a job's source names them, on which another precision than fp32 is compared with fp32; it
    needs weights. `classes` are the device classes to measure, such as cpu-1, by default all of them. It takes up to 3
    minutes, or with `quick` 45 s, and the machine should do nothing else meanwhile. `tell` is called with each line
    that the command shows. Raise Invalid if there is no such model or nothing to measure with.

        dueby.profile("resnet50", quick=True, tell=print)
    """
    with needing("profile", "profiler"):
        from dueby.runs.measuring import measure, measured_model, named_photos
        from dueby.terminal.console import plain_console

        subject = measured_model(model, weights=weights, image_size=image_size, precision=precision, engine=engine)
        home = profile_home() if folder is None else Path(path_of(folder, field="folder"))
        field = PROFILES_VARIABLE if folder is None else "folder"
        source = named_photos(photos, subject)
        with Progress(tell) as progress:
            console = plain_console(progress.file)
            profiles = measure(subject, home, quick=quick, classes=classes, source=source, console=console, field=field)
            progress.end(f"Written to {home}.")
        return Profiles(profiles)


def _section(profile: GPUProfile) -> Section:
    from dueby.terminal.profile_table import HEADINGS, facts_of, rows_of, title_of

    return Section(
        heading=title_of(profile),
        lead=f"{facts_of(profile)}.",
        columns=HEADINGS,
        rows=rows_of(profile),
        are_numbers=True,
        chart=_draw_rates(profile),
    )


def _draw_rates(profile: GPUProfile) -> "Markup":
    """Return a chart of images per second over the measured mini-batch sizes, which are evenly spaced."""
    from dueby_pages.charts.axes import STRETCH, chart, curve, stretched, text, value_scale, value_ticks

    steps = profile.spec.steps
    rates = [step.mini_batch_size * MICROS_PER_SECOND / step.latency_micros.mean for step in steps]
    most, bottom = _HEADROOM * max(rates), _TOP_PX + _PLOT_PX
    shares = [(index + 0.5) / len(steps) for index in range(len(steps))]
    points = [(share * STRETCH, _PLOT_PX * (1 - rate / most)) for share, rate in zip(shares, rates, strict=True)]
    return chart(
        value_scale(value_ticks(most, most=4), top=_TOP_PX, bottom=bottom, most=most),
        stretched(curve(points, class_="actual"), top=_TOP_PX, height=_PLOT_PX),
        [
            text(f"{step.mini_batch_size:,}", x=f"{100 * share:g}%", y=bottom + 18, anchor="middle", class_="tick")
            for share, step in zip(shares, steps, strict=True)
        ],
        height=bottom + 26,
        label="Images per second by mini-batch size",
    )
