"""Which features predict the first mini-batch's time: warm-ups under many conditions, from which that is learnt.

The stage has one point, which keeps a journal of its own, so it continues where it was stopped, too.
"""

from collections.abc import Sequence
from typing import Any

from dueby_api.errors import Invalid
from dueby_api.schema import Spec
from dueby_profiler.progress_listener import ProgressListener
from dueby_study.context import StudyContext
from dueby_study.warmup.collecting.collect import collect_warmups
from dueby_study.warmup.collecting.points import WarmupPoint, every_point
from dueby_study.warmup.learning.learn import LearnedWarmups, learn_warmups
from dueby_study.warmup.learning.sample import sample_of

STAGE = "features"
POINT = "warmups"
_IMAGE_SIZES = (96, 128, 160, 224)
_MINI_BATCH_SIZES = (1, 2, 4, 8, 16)
# On a slow machine the time may be too short to measure enough warm-ups to learn from; then it is granted once more.
_TRIES = 2


class RankedFeature(Spec, frozen=True, kw_only=True):
    """Features that rise and fall together, and how much they matter."""

    name: str
    others: tuple[str, ...]
    """Those that rise and fall with it."""
    importance: float
    """By how much the error of log W grows if they are shuffled; 0.7 is a factor of 2."""
    low: float
    """The 5th and the 95th percentile over splits of the rows."""
    high: float
    """The 5th and the 95th percentile over splits of the rows."""


class FeatureRanking(Spec, frozen=True, kw_only=True):
    """Which features predict the first mini-batch's time, and how well."""

    device_class: str
    rows: int
    configurations: int
    known: int
    """Features that carry information on this machine."""
    most: tuple[RankedFeature, ...]
    """The 15 that matter most."""
    four: tuple[str, ...]
    """The four parameters, out of those that a plan knows, from which W is predicted."""
    errors: dict[str, float]
    """Median relative errors at unseen configurations, by what they were predicted from."""


def points(context: StudyContext) -> list[str]:
    """Return the stage's only point."""
    return [POINT]


def measure(context: StudyContext, point: str, listener: ProgressListener) -> None:
    """Measure as many warm-ups as there is time for."""
    journal = context.folder / "raw" / STAGE / "journal.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_TRIES):
        table = collect_warmups(
            warmup_points(context),
            machine=context.machine,
            journal=journal,
            seconds=context.preset.features_s,
            listener=listener,
            cache_dir=context.cache_dir,
        )
        if _is_enough(table):
            break
    context.row_store.keep_table(STAGE, point, table)


def warmup_points(context: StudyContext) -> Sequence[WarmupPoint]:
    """Return all models, image sizes and mini-batch sizes on the first layout, in random order."""
    spec = context.profile().spec
    return every_point(
        device_classes=[spec.device_class],
        engines=[spec.engine],
        models=context.models,
        image_sizes=_IMAGE_SIZES,
        mini_batch_sizes=_MINI_BATCH_SIZES,
    )


def learn(context: StudyContext) -> LearnedWarmups | None:
    """Return what the warm-ups show; None if they are too few to learn from."""
    if not context.row_store.has(STAGE, POINT):
        return None
    rows = context.row_store.table(STAGE, POINT)
    try:
        return learn_warmups(rows)
    except Invalid as error:
        context.listener.on_message(f"{STAGE}: {error.message}.")
        return None


def _is_enough(table: Any) -> bool:
    """Return whether anything can be learnt from the rows."""
    try:
        sample_of(table)
    except Invalid:
        return False
    return True


def rank_features(learned: LearnedWarmups, device_class: str) -> FeatureRanking:
    """Return what was learnt as numbers."""
    errors = learned.errors[device_class]
    names = ("model", "four", "family_line", "line", "constant")
    return FeatureRanking(
        device_class=device_class,
        rows=learned.rows,
        configurations=learned.configurations,
        known=learned.features,
        most=tuple(
            RankedFeature(
                name=importance.name,
                others=tuple(member for member in importance.members if member != importance.name),
                importance=round(importance.mean, 4),
                low=round(importance.low, 4),
                high=round(importance.high, 4),
            )
            for importance in learned.importances
        ),
        four=learned.four,
        errors={name: round(getattr(errors, name), 4) for name in names},
    )
