"""Plan and proof: the devices that were planned, why no fewer would do, and the numbers that the plan counted with."""

from collections import Counter
from dataclasses import dataclass

from dueby.report.run import Run
from dueby.report.sections.facts import Facts
from dueby_api.calendar import PlannedWindow
from dueby_api.input_cost import InputCost
from dueby_api.plan import PlanAnswer, PlannedCost, PlannedGroup
from dueby_api.prices import format_units
from dueby_api.run_record import Revision
from dueby_api.units import MICROS_PER_SECOND
from dueby_pages.wording import NOTHING, counted, duration, fine, number, percent, reason, size

_PROOFS = {
    "ClosedForm+CBC": "closed form and integer program (CBC), which agree",
    "ClosedForm": "closed form",
    "CBC": "integer program (CBC)",
}
# A run that lost workers all night has very many plans, each much like the one before.
_MAX_PLANS = 6


@dataclass(frozen=True, kw_only=True)
class ShownPlan:
    """A plan, or the helpers that a re-plan added."""

    heading: str | None
    """When and why it was added; None for the plan of the start."""
    groups: tuple[PlannedGroup, ...]
    windows: tuple[PlannedWindow, ...]
    """Of a plan by windows, in place of groups. Times count from the run's start."""
    alternatives: Facts
    """What would do instead; empty if the deadline could be met."""
    facts: Facts


def shown_plans(run: Run) -> tuple[ShownPlan, ...]:
    """Return the first plan and what each re-plan added; of very many, the first one and the last ones."""
    revisions = list(run.plan.revisions)
    if len(revisions) > _MAX_PLANS:
        revisions = revisions[:1] + revisions[1 - _MAX_PLANS :]
    return tuple(
        _shown(run, revision, before=before) for before, revision in zip([None, *revisions], revisions, strict=False)
    )


def plan_notes(run: Run) -> tuple[str, ...]:
    """Return what the profiles of all plans left open, each once."""
    plans = [revision.plan for revision in run.plan.revisions if revision.plan]
    return tuple(dict.fromkeys([*run.summary.warnings, *(note for plan in plans for note in plan.warnings)]))


def _shown(run: Run, revision: Revision, *, before: Revision | None) -> ShownPlan:
    plan = revision.plan
    # Input costs don't change within a run; a resumed run's may differ from one record to the next.
    costs = None if before and before.input_cost == revision.input_cost else revision.input_cost
    return ShownPlan(
        heading=f"Added after {duration(revision.at_seconds)}: {reason(revision.reason)}" if before else None,
        groups=plan.groups if plan else () if revision.windows else _groups_of(revision),
        windows=tuple(_shifted(window, revision.at_seconds) for window in revision.windows),
        alternatives=_alternatives_facts(plan),
        facts=[*(_plan_facts(run, revision, plan) if plan else ()), *_input_facts(costs)],
    )


def _shifted(window: PlannedWindow, by_s: float) -> PlannedWindow:
    # A run's first workers are started some milliseconds after it has begun, which no reader needs to see.
    return window.replace(
        from_seconds=round(window.from_seconds + by_s, 1), to_seconds=round(window.to_seconds + by_s, 1)
    )


def _groups_of(revision: Revision) -> tuple[PlannedGroup, ...]:
    """Return the groups of workers that have no plan of their own."""
    kinds = Counter(
        PlannedGroup(
            device_class=worker.device_class,
            engine=worker.engine,
            mini_batch_size=worker.mini_batch_size,
            iterations=worker.iterations,
            profile=worker.profile,
            count=1,
        )
        for worker in revision.workers
    )
    return tuple(kind.replace(count=count) for kind, count in kinds.items())


def _plan_facts(run: Run, revision: Revision, plan: PlanAnswer) -> Facts:
    expected_s = plan.expected_seconds
    return [
        ("lower bound", NOTHING if plan.lower_bound is None else counted(plan.lower_bound, run.noun)),
        ("proof", _PROOFS.get(plan.proof or "", plan.proof or NOTHING)),
        *_deadline_facts(run, revision),
        ("confidence", percent(plan.confidence)),
        ("probability of being in time", percent(plan.probability)),
        ("planned finish", duration(None if expected_s is None else revision.at_seconds + expected_s)),
        ("finish at the confidence", duration(revision.at_confidence_s)),
        ("slack at the confidence", duration(plan.slack_seconds)),
        ("images planned", f"{number(plan.planned)} for {number(plan.images)}"),
        *_cost_facts(plan.cost),
        *_store_facts(plan),
        ("part size", NOTHING if plan.part_size is None else counted(plan.part_size, "image")),
    ]


def _store_facts(plan: PlanAnswer) -> Facts:
    """Return what the source's store gives all devices together; nothing if nothing limits it."""
    if plan.store is None:
        return []
    planned = plan.store.planned_images_per_second
    return [
        ("what limits the store", plan.store.name),
        ("what it gives", f"{number(plan.store.images_per_second)} images/s"),
        ("what the devices take of it", NOTHING if planned is None else f"{number(planned)} images/s"),
    ]


def _cost_facts(cost: PlannedCost | None) -> Facts:
    """Return what the plan was expected to cost, and what causes it; nothing without prices."""
    if cost is None:
        return []
    causes = {
        "to start": cost.start_up,
        "to work": cost.work,
        "to wait for images": cost.waiting,
        "idle at the end": cost.idle,
        "rounding": cost.rounding,
    }
    rows = {"expected cost": cost.total, **{f"of that {cause}": units for cause, units in causes.items() if units}}
    return [(name, format_units(units, cost.currency)) for name, units in rows.items()]


def _deadline_facts(run: Run, revision: Revision) -> Facts:
    """Return the deadline that the plan was made for; nothing if there was only one."""
    if not run.has_moved or revision.plan is None or revision.at_confidence_s is None:
        return []
    slack_s = revision.plan.slack_seconds
    return [("deadline", NOTHING if slack_s is None else duration(revision.at_confidence_s + slack_s))]


def _input_facts(costs: InputCost | None) -> Facts:
    if costs is None:
        return []
    bandwidth = costs.bandwidth_bytes_per_s
    return [
        ("decoding per image", fine(costs.decode_us / MICROS_PER_SECOND)),
        ("reading per image", fine(costs.get_us / MICROS_PER_SECOND)),
        ("size of an image", size(costs.bytes_per_image)),
        ("bandwidth of a worker", NOTHING if bandwidth is None else f"{size(bandwidth)}/s"),
        *_sample_facts(costs),
    ]


def _sample_facts(costs: InputCost) -> Facts:
    # Without a sample the costs are assumed: synthetic images cost nothing.
    if not costs.sampled:
        return []
    unreadable = f", {number(costs.unreadable)} more unreadable" if costs.unreadable else ""
    return [("images sampled", f"{number(costs.sampled)}{unreadable}")]


def _alternatives_facts(plan: PlanAnswer | None) -> Facts:
    """Return what would do if the deadline could not be met; nothing if it could."""
    if plan is None or plan.feasible or plan.alternatives is None:
        return []
    offered = plan.alternatives
    earliest = offered.earliest_deadline_seconds
    if offered.max_cost is not None:
        return [
            ("least cost, at least", offered.cost_bound or ""),
            ("sufficient maxCost", offered.max_cost),
            ("affordable deadline", "none" if earliest is None else duration(earliest)),
            ("affordable images", number(offered.largest_images)),
        ]
    extra = [
        f"{number(count)} more of {name}" for name, count in (offered.extra_gpus or {}).items() if count is not None
    ]
    return [
        ("earliest deadline", "never, with these devices" if earliest is None else duration(earliest)),
        ("most images by the deadline", number(offered.largest_images)),
        ("more devices", ", or ".join(extra) or "no number is enough"),
        ("possible confidence", percent(offered.possible_confidence)),
        *([] if offered.worker_cores is None else [("cores for each worker", number(offered.worker_cores))]),
    ]
