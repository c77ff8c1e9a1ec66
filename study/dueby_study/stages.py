"""The stages of a study in the order of measuring, and which stages each of them needs.

    subject     the model's profile on each layout of the machine: L, W, MB, and the engine for everything else
    memory      image size x mini-batch size
    times       fresh processes over mini-batch sizes, with and without their warm-up
    together    several processes at once, and energy
    models      the profiles of other models
    features    warm-ups under many conditions, and which features predict them

A stage is a list of points; each point is measured and kept before the next one begins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dueby_api.errors import Invalid
from dueby_profiler.progress_listener import ProgressListener, ProgressUpdate
from dueby_study.context import StudyContext
from dueby_study.measurements import features, memory, models, times, together
from dueby_study.presets import StudyPreset

# About how long it takes to start processes, with their imports and the model.
_START_S = 7.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Points that are measured one after the other, each once."""

    name: str
    points: Callable[[StudyContext], Sequence[str]]
    measure: Callable[[StudyContext, str, ProgressListener], None]
    seconds: Callable[[StudyPreset], float]
    """About how long one point takes, until one has been measured."""
    guess: Callable[[StudyContext], int]
    """How many points there will be, as far as that is known before the stages that it needs."""
    needs: tuple[str, ...] = (models.SUBJECT_STAGE,)


STAGES = (
    Stage(
        name=models.SUBJECT_STAGE,
        points=models.subject_points,
        measure=models.measure_subject,
        seconds=lambda preset: preset.profile.layout_s,
        guess=lambda context: len(context.layouts),
        needs=(),
    ),
    Stage(
        name=memory.STAGE,
        points=memory.points,
        measure=memory.measure,
        seconds=lambda preset: 1.5 * _START_S * -(-len(preset.image_sizes) // 2),
        guess=lambda context: len(context.preset.memory_sizes),
    ),
    Stage(
        name=times.STAGE,
        points=times.points,
        measure=times.measure,
        seconds=lambda preset: _START_S + 2 * preset.point_s,
        guess=lambda context: context.preset.rounds * len(context.preset.sizes),
    ),
    Stage(
        name=together.STAGE,
        points=together.points,
        measure=together.measure,
        seconds=lambda preset: _START_S + len(preset.together_sizes) * (preset.together_s + 1.5),
        guess=lambda context: len(together.points(context)),
    ),
    Stage(
        name=models.STAGE,
        points=models.points,
        measure=models.measure,
        seconds=lambda preset: preset.profile.layout_s,
        guess=lambda context: len(models.points(context)),
    ),
    Stage(
        name=features.STAGE,
        points=features.points,
        measure=features.measure,
        seconds=lambda preset: preset.features_s,
        guess=lambda context: len(features.points(context)),
    ),
)
NAMES = tuple(stage.name for stage in STAGES)


def select(names: Sequence[str]) -> list[Stage]:
    """Return the named stages, or all, with those that they need, in the order of measuring; raise Invalid for another
    name.
    """
    for name in names:
        if name not in NAMES:
            raise Invalid("--stage", f"there is no stage {name!r}; there are {', '.join(NAMES)}")
    wanted = set(names or NAMES)
    wanted |= {needed for stage in STAGES if stage.name in wanted for needed in stage.needs}
    return [stage for stage in STAGES if stage.name in wanted]


def run_stages(context: StudyContext, stages: Sequence[Stage]) -> int:
    """Measure what the row store lacks; return how many points that were."""
    measured = 0
    for number, stage in enumerate(stages):
        later_s = sum(_left_s(context, other) for other in stages[number + 1 :])
        points = context.row_store.missing(stage.name, stage.points(context))
        took_s = stage.seconds(context.preset)
        for nth, point in enumerate(points, start=1):
            rest_s = later_s + took_s * (len(points) - nth)
            began_s = context.machine.clock()
            stage.measure(context, point, _within(context.listener, stage, point_s=took_s, rest_s=rest_s))
            # The last point is the best guess for the next one.
            took_s = context.machine.clock() - began_s
            context.row_store.note(stage.name, point, seconds=took_s)
            measured += 1
    return measured


def _left_s(context: StudyContext, stage: Stage) -> float:
    """Return about how long a stage takes that has yet to begin."""
    return stage.seconds(context.preset) * max(0, stage.guess(context) - context.row_store.count(stage.name))


def _within(listener: ProgressListener, stage: Stage, *, point_s: float, rest_s: float) -> ProgressListener:
    """Return a listener that adds the stage's name and the time of everything after this point.

    A point that doesn't know its own time left reports 0; then `point_s` counts.
    """

    def on_progress(update: ProgressUpdate) -> None:
        left_s = rest_s + (update.left_s or point_s)
        listener.on_progress(ProgressUpdate(doing=f"{stage.name}: {update.doing}", left_s=left_s))

    def on_message(message: str) -> None:
        listener.on_message(f"{stage.name}: {message}")

    return ProgressListener(on_progress=on_progress, on_message=on_message)
