"""The workers against the deadline: a lane for each, from its creation to the end of the run."""

from dataclasses import dataclass
from itertools import pairwise

from dueby.report.run import Run
from dueby_api.run_record import WorkerRecord
from dueby_pages.charts.axes import (
    TimeAxis,
    chart,
    deadline_mark,
    label_beside,
    text,
    time_axis,
    time_scale,
    vertical_line,
)
from dueby_pages.charts.svg import Markup, element, join
from dueby_pages.wording import counted, duration, number

# As many as fit a page without scrolling through what is alike.
_MAX_LANES = 48
_LANE, _BAR, _HEADING = 20, 12, 28
# Height above the lanes: for the deadline's name, and above that for the numbers of the re-plans if there are any.
_TOP, _TOP_WITH_REPLANS = 28, 52
# What the key calls a worker's states, in the order of a worker's life.
STATES = {"starting": "start-up", "warming": "warm-up", "running": "own share", "tails": "tails of others"}
# States in which a worker has finished: with every part, or with the iterations that it was allowed.
FINISHED = ("done", "spent")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of a worker's life in one state."""

    state: str
    start_s: float
    end_s: float


def segments(worker: WorkerRecord, *, end_s: float) -> tuple[Segment, ...]:
    """Return the worker's states as stretches of time; the last one lasts to `end_s`."""
    moments = [*worker.states, (end_s, "")]
    return tuple(
        Segment(state=state, start_s=start, end_s=max(start, following))
        for (start, state), (following, _) in pairwise(moments)
        if state in STATES or state in FINISHED
    )


def choose_lanes(workers: dict[str, WorkerRecord], *, most: int = _MAX_LANES) -> dict[str, WorkerRecord]:
    """Return the workers to show: all of them, or the ones that were lost and those that finished last."""
    if len(workers) <= most:
        return workers

    def weight(name: str) -> tuple[bool, float]:
        states = workers[name].states
        return (bool(states) and states[-1][1] == "lost", states[-1][0] if states else 0.0)

    chosen = set(sorted(workers, key=weight, reverse=True)[:most])
    return {name: worker for name, worker in workers.items() if name in chosen}


def draw_workers(run: Run, lanes: dict[str, WorkerRecord]) -> Markup:
    """Return the chart of these of the run's workers."""
    axis = time_axis(last_s=max(run.end_s, run.expected_s or 0.0), deadline_s=run.deadline_s)
    marks: list[Markup] = []
    y = top = _TOP_WITH_REPLANS if run.replans else _TOP
    for kind, names in _by_kind(lanes).items():
        marks.append(_name_kind(kind, y))
        y += _HEADING
        for name in names:
            marks += _draw_lane(run, name, lanes[name], axis, y)
            y += _LANE
    bottom = y + 6
    deadline_name = f"deadline {duration(run.deadline_s)}"
    return chart(
        time_scale(axis, top=top, bottom=bottom),
        deadline_mark(axis, top=top, bottom=bottom, name=deadline_name),
        _mark_replans(run, axis, bottom),
        marks,
        text("images", x="100%", y=top + 17, dx=10, class_="tick wide-only"),
        height=bottom + 26,
        label=f"{counted(len(run.workers), 'worker')} from 0 to {duration(run.end_s)}, {deadline_name}",
        class_="timeline",
    )


def _by_kind(lanes: dict[str, WorkerRecord]) -> dict[str, list[str]]:
    """Return the workers' names by what they are: class, engine and mini-batch size."""
    kinds: dict[str, list[str]] = {}
    for name, worker in lanes.items():
        kind = f"{worker.device_class} · {worker.engine} · mini-batches of {worker.mini_batch_size}"
        kinds.setdefault(kind, []).append(name)
    return kinds


def _name_kind(kind: str, y: float) -> Markup:
    # HTML, because SVG can't shorten text to the room there is.
    name = element("div", kind, class_="kind", title=kind)
    return element("foreignObject", name, x=0, y=y, width="100%", height=_HEADING - 4)


def _draw_lane(run: Run, name: str, worker: WorkerRecord, axis: TimeAxis, y: float) -> list[Markup]:
    middle = y + _LANE / 2
    marks = [text(name, x=-8, y=middle + 4, anchor="end", class_="lane")]
    for segment in segments(worker, end_s=run.end_s):
        marks.append(_draw_segment(segment, axis, middle))
    if worker.states and worker.states[-1][1] == "lost":
        marks.append(_draw_loss(axis.share(worker.states[-1][0]), middle))
    planned_s = run.planned_finish_s.get(name)
    if planned_s is not None:
        x = axis.at(planned_s)
        marks.append(vertical_line(x, top=middle - 8, bottom=middle + 8, class_="planned-finish"))
    if worker.samples:
        marks.append(text(number(worker.samples[-1][1]), x="100%", y=middle + 4, dx=10, class_="amount wide-only"))
    return marks


def _draw_segment(segment: Segment, axis: TimeAxis, middle: float) -> Markup:
    start, end = axis.share(segment.start_s), axis.share(segment.end_s)
    if segment.state in FINISHED:
        return element("line", x1=f"{start:g}%", x2=f"{end:g}%", y1=middle, y2=middle, class_="idle")
    title = f"{STATES[segment.state]}: {duration(segment.start_s)} to {duration(segment.end_s)}"
    return element(
        "rect",
        element("title", title),
        class_=f"bar {segment.state}",
        x=f"{start:g}%",
        width=f"{end - start:g}%",
        y=middle - _BAR / 2,
        height=_BAR,
    )


def _draw_loss(share: float, middle: float) -> Markup:
    cross = element("path", d="M-5-5L5 5M-5 5L5-5", class_="loss")
    placed = element("svg", cross, x=f"{share:g}%", y=middle, overflow="visible")
    return join(placed, label_beside("lost", share=share, y=middle + 4, class_="loss-name", gap=12))


def _mark_replans(run: Run, axis: TimeAxis, bottom: float) -> list[Markup]:
    marks: list[Markup] = []
    for i, replan in enumerate(run.replans, start=1):
        x = axis.at(replan.at_seconds)
        marks.append(vertical_line(x, top=20, bottom=bottom, class_="replan"))
        marks.append(element("circle", cx=x, cy=12, r=9, class_="replan-dot"))
        marks.append(text(str(i), x=x, y=16, anchor="middle", class_="replan-number"))
    return marks
