"""The stages of a study, in the order in which they are measured, and what each needs to have been measured before.

    subject     the model's profile on each way to cut the machine: L, W, MB, the engine for everything else
    memory      image size x mini-batch size
    times       fresh processes over mini-batch sizes, with and without their warm-up
    together    several processes at once, and energy
    models      the profiles of other models
    features    warm-ups under many circumstances, and what tells them beforehand

A stage is a list of points, and each point is measured and kept before the next begins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dueby_api.errors import Invalid
from dueby_profiler.progress_listener import Audience, Progress
from dueby_study.context import Lab
from dueby_study.measurements import features, memory, models, times, together
from dueby_study.presets import StudyEffort

# What starting processes takes, with their imports and the model.
_START_S = 7.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Points that are measured one after the other, and each once."""

    name: str
    points: Callable[[Lab], Sequence[str]]
    measure: Callable[[Lab, str, Audience], None]
    seconds: Callable[[StudyEffort], float]
    """About what one point takes, until one has been measured."""
    guess: Callable[[Lab], int]
    """How many points there will be, as far as that is known before the stages that it needs."""
    needs: tuple[str, ...] = (models.SUBJECT_STAGE,)


STAGES = (
    Stage(
        name=models.SUBJECT_STAGE,
        points=models.subject_points,
        measure=models.measure_subject,
        seconds=lambda effort: effort.profile.layout_s,
        guess=lambda lab: len(lab.layouts),
        needs=(),
    ),
    Stage(
        name=memory.STAGE,
        points=memory.points,
        measure=memory.measure,
        seconds=lambda effort: 1.5 * _START_S * -(-len(effort.image_sizes) // 2),
        guess=lambda lab: len(lab.effort.memory_sizes),
    ),
    Stage(
        name=times.STAGE,
        points=times.points,
        measure=times.measure,
        seconds=lambda effort: _START_S + 2 * effort.point_s,
        guess=lambda lab: lab.effort.rounds * len(lab.effort.sizes),
    ),
    Stage(
        name=together.STAGE,
        points=together.points,
        measure=together.measure,
        seconds=lambda effort: _START_S + len(effort.together_sizes) * (effort.together_s + 1.5),
        guess=lambda lab: len(together.points(lab)),
    ),
    Stage(
        name=models.STAGE,
        points=models.points,
        measure=models.measure,
        seconds=lambda effort: effort.profile.layout_s,
        guess=lambda lab: len(models.points(lab)),
    ),
    Stage(
        name=features.STAGE,
        points=features.points,
        measure=features.measure,
        seconds=lambda effort: effort.features_s,
        guess=lambda lab: len(features.points(lab)),
    ),
)
NAMES = tuple(stage.name for stage in STAGES)


def select(names: Sequence[str]) -> list[Stage]:
    """The named stages, or all, with those that they need, in the order of measuring; Invalid for another name."""
    for name in names:
        if name not in NAMES:
            raise Invalid("--stage", f"there is no stage {name!r}; there are {', '.join(NAMES)}")
    wanted = set(names or NAMES)
    wanted |= {needed for stage in STAGES if stage.name in wanted for needed in stage.needs}
    return [stage for stage in STAGES if stage.name in wanted]


def run_stages(lab: Lab, stages: Sequence[Stage]) -> int:
    """Measure what the notebook lacks; how many points that were."""
    measured = 0
    for number, stage in enumerate(stages):
        later_s = sum(_left_s(lab, other) for other in stages[number + 1 :])
        points = lab.notebook.missing(stage.name, stage.points(lab))
        took_s = stage.seconds(lab.effort)
        for nth, point in enumerate(points, start=1):
            rest_s = later_s + took_s * (len(points) - nth)
            began_s = lab.machine.clock()
            stage.measure(lab, point, _within(lab.audience, stage, point_s=took_s, rest_s=rest_s))
            took_s = lab.machine.clock() - began_s
            lab.notebook.note(stage.name, point, seconds=took_s)
            measured += 1
    return measured


def _left_s(lab: Lab, stage: Stage) -> float:
    """About what a stage that has yet to begin will take."""
    return stage.seconds(lab.effort) * max(0, stage.guess(lab) - lab.notebook.count(stage.name))


def _within(audience: Audience, stage: Stage, *, point_s: float, rest_s: float) -> Audience:
    """What a point says, with the time of all that comes after it; one that doesn't know its own takes `point_s`."""

    def progress(moment: Progress) -> None:
        left_s = rest_s + (moment.left_s or point_s)
        audience.progress(Progress(doing=f"{stage.name}: {moment.doing}", left_s=left_s))

    return Audience(progress=progress, tell=lambda sentence: audience.tell(f"{stage.name}: {sentence}"))
