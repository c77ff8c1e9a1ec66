"""What tells the first mini-batch's time beforehand: warm-ups under many circumstances, from which features are learnt.

One point, which keeps a journal of its own: it, too, goes on where it was.
"""

from collections.abc import Sequence
from typing import Any

from dueby_api.errors import Invalid
from dueby_api.schema import Spec
from dueby_profiler.progress_listener import Audience
from dueby_study.context import Lab
from dueby_study.warmup.collect import WarmupPoint, collect_warmups
from dueby_study.warmup.learn import Learned, learn_warmups
from dueby_study.warmup.points import every_point
from dueby_study.warmup.sample import sample_of

STAGE = "features"
POINT = "warmups"
_IMAGE_SIZES = (96, 128, 160, 224)
_MINI_BATCH_SIZES = (1, 2, 4, 8, 16)
# On a machine so slow that the time is too short for what it takes to learn anything, it is given once more.
_TRIES = 2


class Feature(Spec, frozen=True, kw_only=True):
    """Features that go up and down together, and how much they decide."""

    name: str
    others: tuple[str, ...]
    """Those that are like it."""
    importance: float
    """By how much the error of log W grows where they are shuffled; 0.7 is a factor of 2."""
    low: float
    high: float
    """The 5th and the 95th percentile over splits of the rows."""


class Features(Spec, frozen=True, kw_only=True):
    """What tells the first mini-batch's time."""

    device_class: str
    rows: int
    configurations: int
    known: int
    """Features that say anything on this machine."""
    most: tuple[Feature, ...]
    """The 15 that matter most."""
    four: tuple[str, ...]
    """The four parameters, of those that a plan knows, by which W is predicted."""
    errors: dict[str, float]
    """Median relative errors at configurations that were not seen, by what they were predicted with."""


def points(lab: Lab) -> list[str]:
    """One."""
    return [POINT]


def measure(lab: Lab, point: str, audience: Audience) -> None:
    """As many warm-ups as there is time for."""
    journal = lab.folder / "raw" / STAGE / "journal.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        table = collect_warmups(
            warmup_points(lab),
            machine=lab.machine,
            journal=journal,
            seconds=lab.effort.features_s,
            audience=audience,
            cache_dir=lab.cache_dir,
        )
        if _is_enough(table):
            break
    lab.notebook.keep_table(STAGE, point, table)


def warmup_points(lab: Lab) -> Sequence[WarmupPoint]:
    """All models, image sizes and mini-batch sizes on the first layout, in an order that favours none."""
    spec = lab.profile().spec
    return every_point(
        device_classes=[spec.device_class],
        engines=[spec.engine],
        models=lab.models,
        image_sizes=_IMAGE_SIZES,
        mini_batch_sizes=_MINI_BATCH_SIZES,
    )


def learn(lab: Lab) -> Learned | None:
    """What the warm-ups say; None where they are too few to learn from."""
    if not lab.notebook.has(STAGE, POINT):
        return None
    rows = lab.notebook.table(STAGE, POINT)
    try:
        return learn_warmups(rows)
    except Invalid as error:
        lab.audience.tell(f"{STAGE}: {error.message}.")
        return None


def _is_enough(table: Any) -> bool:
    """Whether anything can be learnt from it."""
    try:
        sample_of(table)
    except Invalid:
        return False
    return True


def features_of(learned: Learned, device_class: str) -> Features:
    """What was learnt, in numbers."""
    errors = learned.errors[device_class]
    names = ("model", "four", "family_line", "line", "constant")
    return Features(
        device_class=device_class,
        rows=learned.rows,
        configurations=learned.configurations,
        known=learned.features,
        most=tuple(
            Feature(
                name=found.name,
                others=tuple(member for member in found.members if member != found.name),
                importance=round(found.mean, 4),
                low=round(found.low, 4),
                high=round(found.high, 4),
            )
            for found in learned.importances
        ),
        four=learned.four,
        errors={name: round(getattr(errors, name), 4) for name in names},
    )
