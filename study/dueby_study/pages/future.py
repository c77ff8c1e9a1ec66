"""The last chapter of a study's page: its future work, item by item, and how DueBy answers it."""

from collections.abc import Callable, Iterator

from dueby_pages.wording import duration, fine, number
from dueby_study.pages.document import Chapter, Table
from dueby_study.summary import StudySummary

# What the study names, how DueBy answers it, and what this run measured.
_ITEMS: tuple[tuple[str, str, Callable[[StudySummary], Iterator[str]]], ...] = (
    (
        "optimal mini-batch determination",
        "capacity(b) is computed for each T at every measured size, and between them if a job says interpolate: true",
        lambda summary: _best_batch(summary),
    ),
    (
        "load times",
        "S (process start, libraries, weights, engine) is measured, and planned at the quantile of the confidence",
        lambda summary: _load(summary),
    ),
    (
        "concurrency",
        "every way to cut the cores is profiled with all slices busy, and the fastest one becomes the pool",
        lambda summary: _concurrency(summary),
    ),
    (
        "cost and energy limits",
        "joules are counted if the machine has a counter; prices would have to come from the user",
        lambda summary: _energy(summary),
    ),
    (
        "versatility",
        "any torchvision classifier, image size and precision, each with a profile of its own",
        lambda summary: _versatility(summary),
    ),
    (
        "heterogeneous serving",
        "a pool holds device classes, and a plan takes the largest capacities, whatever their class",
        lambda summary: _mixed(summary),
    ),
    (
        "resolution of the models",
        "a closed form, proved by PuLP's integer program for every plan, and verified independently of both",
        lambda summary: _resolution(summary),
    ),
    (
        "adaptation and integration",
        "plans are revised while a job runs, on one machine or by an operator for Kubernetes",
        lambda summary: iter(("Not part of this run.",)),
    ),
)


def future_chapter(summary: StudySummary) -> Chapter:
    """Return the chapter: a table with a row for each item."""
    return Chapter(
        title="The study's future work",
        intro="What the study leaves to future work, how DueBy answers it, and what this run measured.",
        table=Table(
            head=("item", "in DueBy", "here"),
            rows=tuple((item, where, " ".join(describe(summary))) for item, where, describe in _ITEMS),
            words=3,
        ),
    )


def _best_batch(summary: StudySummary) -> Iterator[str]:
    if summary.subject:
        line = summary.subject
        size, largest = line.fastest.mini_batch_size, number(line.max_mini_batch_size)
        yield f"Mini-batch size {size} is the fastest; {largest} would fit."


def _load(summary: StudySummary) -> Iterator[str]:
    line = summary.subject
    if line and line.startup_us is not None:
        warmup = f"W is {fine(line.warmup_us / 1e6)} at mini-batch size {line.warmup_size}"
        yield f"S is {fine(line.startup_us / 1e6)}; {warmup}."


def _concurrency(summary: StudySummary) -> Iterator[str]:
    together = summary.together
    if together and not together.gpu and together.layouts:
        best = max(together.layouts, key=lambda name: together.layouts[name])
        yield f"{best}, with {number(together.layouts[best])} images/s in total."


def _energy(summary: StudySummary) -> Iterator[str]:
    together = summary.together
    if together:
        joules = [value for rate in together.rates for value in (rate.gpu_j, rate.cpu_j) if value is not None]
        yield f"At least {min(joules):.3g} J per image." if joules else "No counter can be read here."


def _versatility(summary: StudySummary) -> Iterator[str]:
    if summary.models:
        yield f"{len(summary.models)} models measured."


def _mixed(summary: StudySummary) -> Iterator[str]:
    mixed = summary.answers.mixed if summary.answers else None
    if mixed:
        devices = " and ".join(f"{count} × {name}" for name, count in mixed.there.items())
        used = [f"{s.count} × {s.device_class} at mini-batch size {s.mini_batch_size}" for s in mixed.shares]
        yield f"{number(mixed.images)} images in {duration(mixed.time_us / 1e6)} on {devices}: {' and '.join(used)}."


def _resolution(summary: StudySummary) -> Iterator[str]:
    if summary.answers:
        yield f"Both gave the same number in {summary.answers.agreed} of {summary.answers.checked} cells."
