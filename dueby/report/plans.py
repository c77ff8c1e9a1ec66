"""Plan and proof: the groups of devices that were planned, why no fewer would do, and what the plan counted with."""

from collections import Counter
from collections.abc import Sequence

from dueby.report.facts import Facts, draw_banners, draw_facts
from dueby.report.html import Markup, join, tag
from dueby.report.run import Run
from dueby.report.wording import NOTHING, counted, duration, fine, number, percent, reason, size
from dueby_api.input_cost import InputCost
from dueby_api.plan import PlanAlternatives, PlanAnswer, PlannedGroup
from dueby_api.run_record import Revision

_PROOFS = {
    "ClosedForm+CBC": "closed form and integer program (CBC), which agree",
    "ClosedForm": "closed form",
    "CBC": "integer program (CBC)",
}
_MAX_PLANS = 6


def draw_plans(run: Run) -> Markup:
    """The plan of the start and what each re-plan added; of very many, the first and the last ones."""
    revisions = list(run.plan.revisions)
    if len(revisions) > _MAX_PLANS:
        revisions = revisions[:1] + revisions[1 - _MAX_PLANS :]
    return join(
        _draw_revision(run, revision, before=before)
        for before, revision in zip([None, *revisions], revisions, strict=False)
    )


def _draw_revision(run: Run, revision: Revision, *, before: Revision | None) -> Markup:
    groups = revision.plan.groups if revision.plan else _groups_of(revision)
    terms = None if before and before.input_cost == revision.input_cost else revision.input_cost
    warnings = revision.plan.warnings if revision.plan else ()
    facts = [*(_plan_facts(run, revision, revision.plan) if revision.plan else ()), *_input_facts(terms)]
    return join(
        tag("h3", f"Added after {duration(revision.at_seconds)}: {reason(revision.reason)}") if before else None,
        _draw_groups(run, groups) if groups else None,
        _draw_alternatives(revision.plan.alternatives) if revision.plan and revision.plan.alternatives else None,
        draw_facts(facts),
        draw_banners(warning for warning in warnings if warning not in run.summary.warnings),  # shown at the top
    )


def _groups_of(revision: Revision) -> tuple[PlannedGroup, ...]:
    """The groups of workers that have no plan of their own."""
    kinds = Counter((w.device_class, w.engine, w.mini_batch_size, w.iterations) for w in revision.workers)
    return tuple(
        PlannedGroup(device_class=name, engine=engine, mini_batch_size=batch, iterations=iterations, count=count)
        for (name, engine, batch, iterations), count in kinds.items()
    )


def _draw_groups(run: Run, groups: Sequence[PlannedGroup]) -> Markup:
    columns = (f"{run.noun}s", "mini-batch size", "iterations", "images each")
    numeric = [tag("th", name, class_="number") for name in columns]
    rows = []
    for group in groups:
        each = (group.iterations + 1) * group.mini_batch_size
        values = (number(group.count), number(group.mini_batch_size), f"1 + {number(group.iterations)}", number(each))
        cells = [tag("td", value, class_="number") for value in values]
        rows.append(tag("tr", tag("td", group.device_class), tag("td", group.engine), cells))
    head = tag("tr", tag("th", "device class"), tag("th", "engine"), numeric)
    return tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="scroll", tabindex="0")


def _plan_facts(run: Run, revision: Revision, plan: PlanAnswer) -> Facts:
    return [
        ("lower bound", NOTHING if plan.lower_bound is None else counted(plan.lower_bound, run.noun)),
        ("proof", _PROOFS.get(plan.proof or "", plan.proof or NOTHING)),
        ("confidence", percent(plan.confidence)),
        ("probability of being in time", percent(plan.probability)),
        ("planned finish", duration(revision.expected_s)),
        ("finish at the confidence", duration(revision.at_confidence_s)),
        ("images planned", f"{number(plan.planned)} for {number(plan.images)}"),
        ("part size", NOTHING if plan.part_size is None else counted(plan.part_size, "image")),
    ]


def _input_facts(terms: InputCost | None) -> Facts:
    if terms is None:
        return []
    return [
        ("decoding, an image", _micros(terms.decode_us)),
        ("reading, an image", _micros(terms.get_us)),
        ("size of an image", size(terms.bytes_per_image)),
        ("bandwidth of a worker", f"{size(terms.bandwidth_bytes_per_s)}/s"),
    ]


def _draw_alternatives(offered: PlanAlternatives) -> Markup:
    """What would do where the deadline could not be met."""
    earliest = offered.earliest_deadline_seconds
    extra = [
        f"{number(count)} more of {name}" for name, count in (offered.extra_gpus or {}).items() if count is not None
    ]
    facts = [
        ("earliest deadline", "never, with these devices" if earliest is None else duration(earliest)),
        ("most images by the deadline", number(offered.largest_images)),
        ("more devices", ", or ".join(extra) or "no number would do"),
        ("possible confidence", percent(offered.possible_confidence)),
    ]
    return join(tag("p", "The deadline can't be met as the job asks. Any one of these would do:"), draw_facts(facts))


def _micros(micros: float | None) -> str:
    return fine(None if micros is None else micros / 1e6)
