"""`dueby.plan`: what would run, as `dueby plan` says it."""

import time
from collections.abc import Mapping, Sequence
from operator import index

from dueby.inputs.counting import with_images
from dueby.inputs.places import require_places
from dueby.inputs.prices import read_prices
from dueby.library.inputs import AnyJob, AnyPath, manifest_of, paths_of
from dueby.library.pages import WithPage, with_page
from dueby.planned_job import shown_verdict
from dueby.planning import problem_now
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_api.plan import PlanAnswer
from dueby_planner.answer import plan_answer
from dueby_planner.deadline_classes import Verdict, judge
from dueby_planner.model.problem import Problem


class Planned(WithPage, PlanAnswer, frozen=True, kw_only=True, dict=True):
    """What `dueby plan -o json` prints; a notebook shows it as the page of `dueby plan -o html`."""


def plan(
    job: AnyJob,
    sink: AnyPath | None = None,
    *,
    profiles: AnyPath | Sequence[AnyPath] = (),
    pool: Mapping[str, int] | None = None,
    images: int | None = None,
    prices: AnyPath | Sequence[AnyPath] = (),
    region: str | None = None,
    spot: bool = False,
    **spec: object,
) -> Planned:
    """Return the fewest devices that meet the job's deadline, without running it.

    `images` is the number of images of a job that doesn't say it; by default those of a source on this machine are
    counted. `job` is a manifest's path, its content, or an InferenceJob; without one, `job`, `sink` and fields of spec
    are as in `run`. `profiles` are files or folders of GPUProfiles, by
    default this machine's. `pool` has the number of devices by class, by default those that were profiled on this
    machine. `prices` are files, as `dueby plan --prices` takes them: with them `cost` is what the plan is expected to
    cost, and by what. `region` chooses among the prices of a catalogue, and with `spot` those of nodes that may be
    taken away go first. An infeasible job is no error: `feasible` is False then, and `alternatives` says what could be
    asked for instead. Raise Invalid if something is wrong with the job, the profiles or the prices.

        dueby.plan("job.yaml", profiles="profiles", pool={"NVIDIA-L4": 8}, prices="prices.yaml").cost.total
    """
    asked, problem = planned_problem(
        job, sink, spec, profiles=profiles, pool=pool, images=images, prices=prices, region=region, spot=spot
    )
    now_us = time.time_ns() // 1000
    verdict = judge(problem, asked.spec.deadline_class)
    return with_page(Planned, plan_answer(verdict), lambda: _page(asked, verdict, now_us=now_us))


def planned_problem(
    job: AnyJob,
    sink: AnyPath | None,
    spec: Mapping[str, object],
    *,
    profiles: AnyPath | Sequence[AnyPath],
    pool: Mapping[str, int] | None,
    images: int | None,
    prices: AnyPath | Sequence[AnyPath],
    region: str | None,
    spot: bool,
) -> tuple[InferenceJob, Problem]:
    """Return the job with its images, and the problem that it is if it is created now; the arguments are `plan`'s."""
    parsed = with_images(manifest_of(job, sink, spec).job, images)
    require_places(parsed.spec)
    tariff = read_prices(paths_of(prices, field="prices"), region=region, spot=spot)
    return parsed, problem_now(parsed, paths=paths_of(profiles), counts=_counts_of(pool), tariff=tariff)


def _counts_of(pool: Mapping[str, int] | None) -> dict[str, int]:
    """Return the number of devices by class; empty if there is no pool. Raise Invalid if a number is wrong."""
    if pool is None:
        return {}
    if not isinstance(pool, Mapping):
        raise Invalid("pool", f"must be a mapping of device classes to numbers, but is of type {type(pool).__name__}")
    return {_class_of(name): _count_of(name, count) for name, count in pool.items()}


def _class_of(name: object) -> str:
    if not isinstance(name, str):
        raise Invalid("pool", f"{name!r} is not the name of a device class")
    return name


def _count_of(name: str, count: object) -> int:
    """Return the number as an int of Python's. It may be one of NumPy's, which JSON and the planner don't take."""
    try:
        # True has an index, but means something else.
        number = -1 if isinstance(count, bool) else index(count)  # type: ignore[arg-type]
    except TypeError:
        number = -1
    if number < 0:
        raise Invalid("pool", f"{name}: must be an integer of at least 0, but is {count!r}")
    return number


def _page(job: InferenceJob, verdict: Verdict, *, now_us: int) -> str:
    from dueby_pages.calendar_page import render_calendar

    return render_calendar(shown_verdict(job, verdict, now_us=now_us))
