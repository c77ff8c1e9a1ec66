"""Why no plan costs as little as a job may, in words, for `dueby plan`, `dueby run` and a job's conditions."""

from dueby_api.prices import MICRO_UNITS, format_amount
from dueby_api.units import format_at_least, format_duration
from dueby_api.words import counted
from dueby_planner.model.cost import MAX_COST, CostLimit
from dueby_planner.model.max_cost import OverCost

_CENT = MICRO_UNITS // 100
NEVER_AFFORDABLE = "no later deadline is affordable"


def over_cost_sentence(over: OverCost) -> str:
    """Return what the cheapest devices cost, how far that is proved to be the least, and what the job may cost."""
    problem, cheapest, proved = over.problem, "The cheapest devices", "which is proved to be the least"
    if over.bound < over.least:
        gap = -(-(over.least - over.bound) * 10_000 // over.least)
        unknown = "whether any are within it is not known: " if over.limit.allows(over.bound) else ""
        cheapest += " that were found"
        proved = f"and {unknown}it is proved that none cost less by more than {gap / 10_000:.2%}"
    by_when = "end as early as any, in" if over.is_late else f"do {counted(problem.images, 'image')} in"
    late = "The deadline can't be met. " if over.is_late else ""
    return (
        f"{late}{cheapest} that {by_when} {format_duration(problem.time_us)} at confidence {problem.confidence:g} cost "
        f"{format_amount(over.least, over.limit.most.currency)}, {proved}; {limit_words(over.limit)}."
    )


def limit_words(limit: CostLimit) -> str:
    """Return what the job may cost, and what of it is spent, as a clause."""
    if limit.clause:
        return limit.clause
    spent = f", of which {format_amount(limit.spent, limit.most.currency)} are spent" if limit.spent else ""
    if not limit.is_known:
        spent += ", and the price of devices that the job had is not known"
    return f"{MAX_COST} is {limit.most.text}{spent}"


def over_cost_wait_sentence(limit: CostLimit) -> str:
    """Return that a job waits for devices that it can pay for, and what would help."""
    return (
        f"With the devices that are free for it the job would cost more than it may: {limit_words(limit)}. The job "
        f"waits for cheaper ones. Raise {MAX_COST}, or set a later deadline."
    )


def over_cost_advice(over: OverCost) -> str:
    """Return each change that would be enough alone, as sentences; that no deadline is affordable is one of them."""
    ways, alternatives = [f"raise {MAX_COST} to {sufficient_max_cost(over)}"], over.alternatives
    if alternatives.earliest_us is not None:
        ways.append(f"move the deadline to {format_at_least(alternatives.earliest_us)} from now")
    if alternatives.largest_images:
        ways.append(f"lower images to {alternatives.largest_images:,}")
    never = f" However late the deadline is, {NEVER_AFFORDABLE}." if alternatives.earliest_us is None else ""
    return f"Do one of: {'; '.join(ways)}.{never}"


def sufficient_max_cost(over: OverCost) -> str:
    """Return the least maxCost that would be enough, as the manifest takes it: rounded up to the cent from 1 on."""
    least = over.limit.spent + over.least
    micro = least if least < MICRO_UNITS else -(-least // _CENT) * _CENT
    whole, part = divmod(micro, MICRO_UNITS)
    digits = f"{part:06}".rstrip("0").ljust(2, "0")
    return f"{whole}.{digits} {over.limit.most.currency}"
