"""The top of the page: what came out, in a sentence, a few numbers, and the finish against the deadline."""

from dueby.report.facts import draw_banners
from dueby.report.html import Markup, join, public, tag
from dueby.report.run import Run
from dueby.report.wording import counted, duration, moment, number, percent

# Verdict -> (name, class that gives the colour, path of the icon in a box of 16).
_VERDICTS = {
    "Succeeded": ("In time", "good", "M3.5 8.5l3 3 6-7"),
    "Late": ("Late", "late", "M8 3.5V8l3 2.5"),
    "Failed": ("Failed", "bad", "M4 4l8 8M12 4l-8 8"),
    "Interrupted": ("Interrupted", "late", "M6 4v8M10 4v8"),
    "Unfinished": ("Unfinished", "late", "M6 4v8M10 4v8"),
}


def draw_headline(run: Run, *, sink: str) -> Markup:
    """Job, verdict, sentence, proof, numbers."""
    name, tone, icon = _VERDICTS.get(run.verdict, (run.verdict, "late", "M8 4v5M8 11.5v.5"))
    sign = tag("svg", tag("path", d=icon), viewBox="0 0 16 16", width=18, height=18, aria_hidden="true")
    story = tag(
        "div",
        tag("p", "DueBy", tag("span", f" run of {moment(run.start_us)}", class_="quiet"), class_="eyebrow"),
        tag("h1", run.job_name),
        tag("p", sign, name, class_="verdict"),
        tag("p", tell(run), class_="lead"),
        _prove(run),
        tag("p", "Results in ", tag("code", public(sink)), class_="where"),
    )
    return tag(
        "header",
        tag("div", story, _draw_finish(run), class_="hero"),
        draw_banners(_warnings(run)),
        _draw_tiles(run),
        class_=tone,
    )


def tell(run: Run) -> str:
    """The run in one sentence, or two where it was resumed."""
    devices = f" on {counted(run.devices, run.noun)}" if run.devices else ""
    before = f" Earlier runs had done {number(run.inherited)} of {number(run.images)}." if run.inherited else ""
    left = None if run.images is None else run.images - run.inherited
    if run.is_complete:
        return f"{counted(left, 'image')} classified in {duration(run.end_s)}{devices}{_against_deadline(run)}.{before}"
    if not run.promise.feasible and not run.workers:
        return "Nothing was started: the deadline can't be met."
    so_far = f"{number(run.done)} of {counted(run.images, 'image')} done"
    if run.verdict == "Failed" and run.failed:
        return f"{so_far} in {duration(run.end_s)}{devices}, and {counted(run.failed, 'image')} failed{_allowed(run)}."
    return f"{so_far} after {duration(run.end_s)}{devices}. The same command goes on from there."


def _against_deadline(run: Run) -> str:
    if run.deadline_s is None:
        return ""
    slack = run.deadline_s - run.end_s
    return f", {duration(abs(slack))} {'before' if slack >= 0 else 'after'} the deadline"


def _allowed(run: Run) -> str:
    if run.job is None or run.images is None or run.failed is None:
        return ""
    allowed = run.job.spec.allowed_failures(run.images)
    return f" where {number(allowed)} were allowed" if run.failed > allowed else ""


def _prove(run: Run) -> Markup | None:
    """Why it was not done with fewer."""
    if run.first is None or not run.first.proof_sentence:
        return None
    sentence = run.first.proof_sentence.rstrip(".") + "."
    return tag("p", None if sentence.startswith("No ") else tag("b", "No fewer can: "), sentence, class_="proof")


def _draw_finish(run: Run) -> Markup | None:
    """Expected, at the confidence and actual finish as bars that the deadline crosses."""
    rows = [("planned", run.expected_s, "plan"), (f"at {percent(run.confidence)}", run.at_confidence_s, "plan")]
    rows.append(("actual" if run.summary.verdict else "so far", run.end_s or None, "actual"))
    rows = [row for row in rows if row[1] is not None]
    if not rows or run.deadline_s is None:
        return None
    latest = max(seconds or 0.0 for _, seconds, _ in rows)
    far = run.deadline_s > 3 * latest
    whole = 1.04 * max(latest, 0.0 if far else run.deadline_s, 1e-6)
    bars = [
        join(
            tag("dt", name),
            tag("dd", tag("i", style=f"width:{100 * (seconds or 0) / whole:.2f}%", class_=tone), class_="track"),
            tag("dd", duration(seconds), class_="number"),
        )
        for name, seconds, tone in rows
    ]
    place = None if far else f"--deadline:{100 * run.deadline_s / whole:.2f}%"
    last = join(tag("dt", "deadline"), tag("dd"), tag("dd", duration(run.deadline_s), class_="number"))
    return tag("dl", bars, last, class_="finish far" if far else "finish", style=place)


def _warnings(run: Run) -> list[str]:
    """What nobody may overlook."""
    first = [run.summary.weights_warning] if run.summary.weights_warning else []
    return [*first, *run.notes, *run.summary.warnings]


def _draw_tiles(run: Run) -> Markup:
    slack = None if run.deadline_s is None or run.summary.actual_seconds is None else run.deadline_s - run.end_s
    planned = None if run.deadline_s is None or run.at_confidence_s is None else run.deadline_s - run.at_confidence_s
    tiles = [
        ("images", number(run.images), f"{number(run.done)} done"),
        ("deadline", duration(run.deadline_s), "from the start"),
        ("finish", duration(run.summary.actual_seconds), f"planned {duration(run.expected_s)}"),
        ("slack", duration(slack), f"planned {duration(planned)} at {percent(run.confidence)}"),
        (f"{run.noun}s", number(run.devices), counted(len(run.replans), "re-plan")),
        ("failed images", number(run.failed), _share(run.failed, run.images)),
    ]
    return tag(
        "dl",
        [
            tag("div", tag("dt", name), tag("dd", value), tag("dd", small, class_="small"))
            for name, value, small in tiles
        ],
        class_="tiles",
    )


def _share(failed: int | None, images: int | None) -> str:
    return "" if failed is None or not images else f"{percent(failed / images, digits=2)} of all"
