"""A calendar's devices over time: a band for each class, as high as the class has devices, with a block for each job.

What is empty in a band is free. A block's name is shortened to its room, and its number stands for it in the table.
"""

from collections.abc import Sequence

from dueby_pages.calendar import ShownCalendar, ShownJob, ShownPool
from dueby_pages.calendar_blocks import Block, stacked
from dueby_pages.charts.axes import TimeAxis, chart, time_scale, value_scale, value_ticks, vertical_line
from dueby_pages.charts.svg import Markup, element
from dueby_pages.wording import counted, duration, number

# Height of a device, and of a class of many devices: few are as easy to see as many fit on a screen.
_DEVICE, _MAX_BAND = 26, 320
# Above the first band there is room for the flags of the deadlines.
_TOP, _HEADING, _GAP = 16, 26, 14
# Between two values on the left, and the height of a block that has room for a name, in pixels.
_BETWEEN_VALUES, _MIN_NAMED = 36, 13
Ticks = Sequence[tuple[float, str]]


def draw_devices(shown: ShownCalendar, axis: TimeAxis, ticks: Ticks) -> Markup:
    flags = _flags(shown, axis)
    free: list[Markup] = []
    bands: list[Markup] = []
    blocks: list[Markup] = []
    y = float(_TOP)
    for pool in shown.pool:
        top = y + _HEADING
        bottom = top + min(_MAX_BAND, _DEVICE * pool.height)
        device_height = (bottom - top) / pool.height
        free_height = round(device_height * (pool.devices or pool.height), 2)
        free.append(element("rect", x=0, y=bottom - free_height, width="100%", height=free_height, class_="free"))
        bands += _name_band(pool, shown.device, top=top, bottom=bottom)
        bands += _draw_others(pool, top=bottom - free_height, device_height=device_height)
        bands += [vertical_line(axis.at(due_s), top=top, bottom=bottom, class_="due") for due_s in flags]
        for block in stacked(shown.jobs, pool.device_class, pool.height):
            blocks.append(_draw_block(shown.jobs[block.number], block, axis, bottom, device_height))
        y = bottom + _GAP
    return chart(
        free,
        time_scale(axis, top=_TOP, bottom=y, ticks=ticks),
        bands,
        blocks,
        [_draw_flag(due_s, names, axis) for due_s, names in flags.items()],
        height=y + 26,
        label=f"Devices of {counted(len(shown.pool), 'class', 'classes')}, held by {counted(len(shown.jobs), 'job')} "
        f"from now until {duration(shown.horizon_s)} later",
        class_="calendar",
    )


def colour(index: int) -> str:
    """Return the style that gives a job its colour: neighbours are far apart on the circle (the golden angle)."""
    return f"--hue:{index * 137.508 % 360:.0f}"


def looks(job: ShownJob) -> str:
    """Return the style sheet's classes of a job's blocks."""
    return f"{job.deadline_class.lower()} late" if job.is_late else job.deadline_class.lower()


def _name_band(pool: ShownPool, device: str, *, top: float, bottom: float) -> list[Markup]:
    name = f"{pool.device_class} · {_size(pool, device)}"
    # HTML, because SVG can't shorten text to the room there is.
    heading = element("div", name, class_="kind", title=name)
    most = min(pool.height, max(1, int((bottom - top) / _BETWEEN_VALUES)))
    return [
        element("foreignObject", heading, x=0, y=top - _HEADING, width="100%", height=_HEADING - 2),
        *value_scale(value_ticks(pool.height, most=most), top=top, bottom=bottom, most=pool.height),
    ]


def _size(pool: ShownPool, device: str) -> str:
    if pool.devices is None:
        return f"at most {counted(pool.peak, device)} by the jobs' statuses"
    held = f"at most {number(pool.peak)} held at once" if pool.peak else "none held"
    if pool.peak > pool.devices:
        held += " unless some jobs give way"
    others = f", {number(pool.others)} by other pods now" if pool.others else ""
    return f"{counted(pool.devices, device)}, {held}{others}"


def _draw_others(pool: ShownPool, *, top: float, device_height: float) -> list[Markup]:
    """Return what other pods have now, at the top and behind the jobs: nobody knows how long they have it."""
    if not pool.others:
        return []
    title = f"{pool.others:,} × {pool.device_class} held by other pods"
    height = round(device_height * pool.others, 2)
    name = element("span", "other pods") if height >= _MIN_NAMED else None
    block = element("div", name, class_="block others", style=f"--height:{height:.1f}px", title=title)
    return [element("foreignObject", block, x=0, y=top, width="100%", height=height)]


def _draw_block(job: ShownJob, block: Block, axis: TimeAxis, bottom: float, device_height: float) -> Markup:
    hold, (first, end) = block.hold, block.rows
    start, stop = axis.share(hold.from_s), axis.share(hold.to_s)
    height = device_height * (end - first)
    classes = ["block", looks(job)]
    name: tuple[Markup, ...] = ()
    if height >= _MIN_NAMED:
        # The style sheet hides the name, and at last the number, where there is no room for them.
        name = (element("b", str(block.number + 1)), element("span", job.name))
    else:
        classes.append("thin")
    if hold.to_s > axis.end_s:
        classes.append("onward")
    title = (
        f"{job.name} ({job.deadline_class}): {hold.count:,} × {hold.device_class}, "
        f"{duration(hold.from_s)} to {duration(hold.to_s)}"
    )
    shown = element(
        "div",
        name,
        class_=" ".join(classes),
        style=f"{colour(block.number)};--height:{height:.1f}px",
        title=f"{title}, {hold.work}" if hold.work else title,
    )
    return element(
        "foreignObject",
        shown,
        x=f"{start:g}%",
        y=round(bottom - device_height * end, 2),
        width=f"{stop - start:g}%",
        height=round(height, 2),
    )


def _flags(shown: ShownCalendar, axis: TimeAxis) -> dict[float, list[str]]:
    """Return the deadlines on the axis, each with the names of its jobs."""
    flags: dict[float, list[str]] = {}
    for job in shown.jobs:
        if job.deadline_s is not None and 0 <= job.deadline_s <= axis.end_s:
            flags.setdefault(job.deadline_s, []).append(job.name)
    return flags


def _draw_flag(due_s: float, names: list[str], axis: TimeAxis) -> Markup:
    title = element("title", f"deadline of {', '.join(names)}: {duration(due_s)}")
    flag = element("path", title, d="M-5-9H5L0 0Z", class_="flag")
    return element("svg", flag, x=axis.at(due_s), y=_TOP, overflow="visible")
