"""`dueby.curve`: a job's devices and cost over its deadline or its images, as `dueby plan --curve` shows them."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args

from dueby.inputs.needs import needing
from dueby.library.inputs import AnyJob, AnyPath
from dueby.library.pages import Section, WithPage, render_sections, with_page
from dueby.library.plans import planned_problem
from dueby.planned_curve import curve_answer, curve_rows, curve_story, shown_curve
from dueby_api.curve import CurveAnswer, CurveDevices
from dueby_api.errors import Invalid
from dueby_api.words import counted
from dueby_planner.model.curve import Over, curve_of

if TYPE_CHECKING:
    from dueby_pages.charts.svg import Markup


class PlannedCurve(WithPage, CurveAnswer, frozen=True, kw_only=True, dict=True):
    """What `dueby plan --curve -o json` prints; a notebook shows the picture, and a table of some of the points."""

    @property
    def svg(self) -> str:
        """The picture, as `dueby plan --curve -o svg` prints it."""
        return str(_draw(self))

    def to_pandas(self) -> Any:
        """Return the points as a pandas DataFrame. Raise Invalid if pandas isn't installed.

        Its columns are deadline_seconds and images; gpus and cost of the fewest devices; cheapest_gpus, cheapest_cost
        and lower_bound of the cheapest; and CLASS_gpus and CLASS_cost of each class alone. What isn't possible, or has
        no price, is NaN.
        """
        with needing("to_pandas"):
            # By its name, since nothing else of DueBy needs it.
            frame = import_module("pandas").DataFrame
        return frame(self._columns(), dtype=float).astype({"images": int})

    def _columns(self) -> dict[str, list[float | None]]:
        devices: dict[str, list[CurveDevices | None]] = {
            "": [point.fewest for point in self.points],
            "cheapest_": [point.cheapest for point in self.points],
            **{f"{name}_": [point.alone.get(name) for point in self.points] for name in self.classes},
        }
        columns: dict[str, list[float | None]] = {
            "deadline_seconds": [point.deadline_seconds for point in self.points],
            "images": [point.images for point in self.points],
        }
        for prefix, some in devices.items():
            columns[f"{prefix}gpus"] = [one.gpus if one else None for one in some]
            columns[f"{prefix}cost"] = [one.cost if one else None for one in some]
        return columns | {"lower_bound": [point.lower_bound for point in self.points]}


def curve(
    job: AnyJob,
    sink: AnyPath | None = None,
    *,
    over: Over = "time",
    profiles: AnyPath | Sequence[AnyPath] = (),
    pool: Mapping[str, int] | None = None,
    images: int | None = None,
    prices: AnyPath | Sequence[AnyPath] = (),
    region: str | None = None,
    spot: bool = False,
    **spec: object,
) -> PlannedCurve:
    """Return the fewest devices, and with prices the cheapest, over the job's deadline or over its number of images.

    `over` is "time" or "images"; everything else is as in `plan`. Of each class that is enough alone, its fewest
    devices are there, too. A job that is never possible has no points. Raise Invalid if something is wrong with the
    job, the profiles or the prices.

        dueby.curve("job.yaml", pool={"NVIDIA-L4": 16}, prices="prices.yaml").to_pandas()
    """
    if over not in get_args(Over):
        raise Invalid("over", f"must be one of {', '.join(get_args(Over))}, but is {over!r}")
    asked, problem = planned_problem(
        job, sink, spec, profiles=profiles, pool=pool, images=images, prices=prices, region=region, spot=spot
    )
    answer = curve_answer(asked.metadata.name, curve_of(problem, over=over))
    return with_page(PlannedCurve, answer, lambda: _page(answer))


def _draw(answer: CurveAnswer) -> "Markup":
    from dueby_pages.charts.curve import draw_curve

    return draw_curve(shown_curve(answer))


def _page(answer: CurveAnswer) -> str:
    headings, rows = curve_rows(answer)
    section = Section(
        heading=f"Devices over the {'deadline' if answer.over == 'time' else 'number of images'}",
        lead=f"Some of {counted(len(answer.points), 'point')}; to_pandas() has all."
        if answer.points
        else curve_story(answer),
        columns=headings,
        rows=rows,
        are_numbers=True,
        chart=_draw(answer) if answer.points else None,
        is_picture=True,
    )
    return render_sections("Curve", [section])
