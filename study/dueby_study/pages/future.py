"""The last chapter of a study's page: its future work, item by item, and where DueBy answers it."""

from collections.abc import Callable, Iterator

from dueby.report.wording import duration, fine, number
from dueby_study.pages.document import Chapter, Table
from dueby_study.summary import Summary

# What the study names -> where DueBy answers it, and what this run has to say of it.
_ITEMS: tuple[tuple[str, str, Callable[[Summary], Iterator[str]]], ...] = (
    (
        "optimal mini-batch determination",
        "capacity(b) is tried at every measured size for each T (planner/capacity.py), between them with interpolate",
        lambda summary: _best_batch(summary),
    ),
    (
        "load times",
        "S is measured (process start, libraries, weights, engine) and planned with as late as the confidence asks for",
        lambda summary: _load(summary),
    ),
    (
        "concurrency",
        "every way to cut the cores is profiled with all slices busy; the fastest is the pool (planner/machine.py)",
        lambda summary: _concurrency(summary),
    ),
    (
        "cost and energy limits",
        "joules are counted where the machine has a counter; a price is the user's to give",
        lambda summary: _energy(summary),
    ),
    (
        "versatility",
        "any torchvision classifier, image size and precision, each with a profile of its own",
        lambda summary: _versatility(summary),
    ),
    (
        "heterogeneous serving",
        "a pool has device classes, and the largest capacities are taken whatever class they are of (planner/plan.py)",
        lambda summary: _mixed(summary),
    ),
    (
        "resolution of the models",
        "a closed form, proved by PuLP's integer program on every plan, and verified without either",
        lambda summary: _resolution(summary),
    ),
    (
        "adaptation and integration",
        "plans are made anew while a job runs (planner/replan.py); an operator for Kubernetes",
        lambda summary: iter(("Not part of this run.",)),
    ),
)


def future_chapter(summary: Summary) -> Chapter:
    """A table with a line for each item."""
    return Chapter(
        title="The study's future work",
        intro="What the study leaves for later, where DueBy answers it, and the number that this run gives.",
        table=Table(
            head=("item", "in DueBy", "here"),
            rows=tuple((item, where, " ".join(tell(summary))) for item, where, tell in _ITEMS),
            words=3,
        ),
    )


def _best_batch(summary: Summary) -> Iterator[str]:
    if summary.subject:
        line = summary.subject
        yield f"Mini-batches of {line.fastest.mini_batch_size} do most, {number(line.max_mini_batch_size)} would fit."


def _load(summary: Summary) -> Iterator[str]:
    line = summary.subject
    if line and line.startup_us is not None:
        warmup = f"W {fine(line.warmup_us / 1e6)} at mini-batches of {line.warmup_size}"
        yield f"S is {fine(line.startup_us / 1e6)}, {warmup}."


def _concurrency(summary: Summary) -> Iterator[str]:
    found = summary.together
    if found and not found.gpu and found.layouts:
        best = max(found.layouts, key=lambda name: found.layouts[name])
        yield f"{best}, with {number(found.layouts[best])} images/s in all."


def _energy(summary: Summary) -> Iterator[str]:
    found = summary.together
    if found:
        known = [value for rate in found.rates for value in (rate.gpu_j, rate.cpu_j) if value is not None]
        yield f"{min(known):.3g} J an image at the least." if known else "No counter can be read here."


def _versatility(summary: Summary) -> Iterator[str]:
    if summary.models:
        yield f"{len(summary.models)} models measured."


def _mixed(summary: Summary) -> Iterator[str]:
    found = summary.answers.mixed if summary.answers else None
    if found:
        there = " and ".join(f"{count} × {name}" for name, count in found.there.items())
        used = [f"{s.count} × {s.device_class} with mini-batches of {s.mini_batch_size}" for s in found.shares]
        yield f"{number(found.images)} images in {duration(found.time_us / 1e6)} on {there}: {' and '.join(used)}."


def _resolution(summary: Summary) -> Iterator[str]:
    if summary.answers:
        yield f"Both gave the same in {summary.answers.agreed} of {summary.answers.checked} cells."
