"""The mapping from plans and verdicts to documents, and to sentences for people.

This is the one place where a plan of the domain (dueby_planner.model.plan) becomes a document (dueby_api.plan and
dueby_api.status): what `dueby plan -o json` prints, what a run's record keeps, and what status.plan shows. A field that
a document declares and that nothing here writes fails a test.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from dueby_api.engines import runs_on_cpu
from dueby_api.inference_job import MAX_N
from dueby_api.plan import (
    CostByCause,
    CostOfOthers,
    PlanAlternatives,
    PlanAnswer,
    PlannedCost,
    PlannedGroup,
    PlannedStore,
)
from dueby_api.prices import MICRO_UNITS, format_amount
from dueby_api.status import AlternativesStatus, PlanStatus
from dueby_api.units import (
    MICROS_PER_SECOND,
    format_at_least,
    format_duration,
    format_time,
    format_time_at_least,
    seconds,
)
from dueby_api.words import capital, counted, time_span
from dueby_planner.deadline_classes import Verdict
from dueby_planner.model.cores import present_cores
from dueby_planner.model.cost import PlanCost, Tariff
from dueby_planner.model.cost_words import over_cost_advice, over_cost_sentence, sufficient_max_cost
from dueby_planner.model.feed import MICRO, StoreFeed
from dueby_planner.model.max_cost import OverCost
from dueby_planner.model.offers import CostBeside, all_at_once, cheapest_alone
from dueby_planner.model.plan import SQUARES, Infeasible, Plan
from dueby_planner.model.problem import NEVER_US, Problem, find_least, find_least_near
from dueby_planner.profiles.pool import Pool

ByCause = TypeVar("ByCause", bound=CostByCause)
TARS = "of which a worker reads many images with one request"
"""What helps where the requests for single objects are too many."""
# How classes of CPU slices are called: cpu-4 has four cores.
_SLICES = "cpu-"


def planned_groups(plan: Plan) -> tuple[PlannedGroup, ...]:
    """Return the plan's groups of devices."""
    return tuple(
        PlannedGroup(
            device_class=group.device_class,
            engine=group.choice.engine,
            count=group.count,
            mini_batch_size=group.choice.mini_batch_size,
            iterations=group.iterations,
            profile=group.choice.profile,
            # Most plans have no such size, so it is absent rather than false.
            interpolated=True if group.choice.interpolation else None,
            paced=True if group.choice.unpaced else None,
            cores=group.choice.cores if group.choice.beside and group.choice.beside.core_us else None,
        )
        for group in plan.groups
    )


def plan_answer(verdict: Verdict) -> PlanAnswer:
    """Return the verdict as a document. Its times count from now."""
    plan, infeasible = verdict.plan, verdict.infeasible
    decided = infeasible or plan
    if decided is None:
        raise ValueError("the verdict has neither a plan nor a reason why there is none")
    problem = decided.problem
    answer = PlanAnswer(
        feasible=infeasible is None,
        proof=decided.proof,
        confidence=problem.confidence,
        images=problem.images,
        store=planned_store(problem, plan),
        alternatives=plan_alternatives(infeasible) if infeasible else None,
        warnings=problem.pool.warnings,
    )
    if plan is None:
        return answer
    return answer.replace(
        gpus=plan.gpus,
        lower_bound=plan.lower_bound,
        probability=plan.probability,
        part_size=plan.part_size,
        planned=plan.planned_images,
        expected_seconds=seconds(plan.expected_finish_us),
        slack_seconds=seconds(plan.slack_us),
        groups=planned_groups(plan),
        cost=planned_cost(plan),
        warnings=plan.warnings,
    )


def planned_cost(plan: Plan) -> PlannedCost | None:
    """Return what the plan is expected to cost, and beside it other devices; None if a price isn't known."""
    cost = plan.cost
    if cost is None:
        return None
    return cost_by_cause(cost, PlannedCost, bound=plan.cost_bound).replace(
        cheapest_class=_cost_beside(cheapest_alone(plan.problem)),
        all_devices=_cost_beside(all_at_once(plan.problem)),
    )


def cost_by_cause(cost: PlanCost, kind: type[ByCause], *, bound: int | None = None) -> ByCause:
    """Return a cost by what causes it, in units of its currency; the bound is in millionths of one."""
    causes = {name: micro / MICRO_UNITS for name, micro in cost.causes.items()}
    return kind(
        currency=cost.currency,
        total=cost.total / MICRO_UNITS,
        start_up=causes["start_up"],
        work=causes["work"],
        waiting=causes["waiting"],
        idle=causes["idle"],
        rounding=causes["rounding"],
        lower_bound=None if bound is None else bound / MICRO_UNITS,
    )


def _cost_beside(beside: CostBeside | None) -> CostOfOthers | None:
    if beside is None:
        return None
    return CostOfOthers(
        device_class=beside.device_class,
        gpus=beside.gpus,
        total=beside.cost.total / MICRO_UNITS,
        expected_seconds=seconds(beside.end_us),
    )


def answer_document(verdict: Verdict) -> dict[str, Any]:
    """Return the answer as `dueby plan -o json` prints it: with every field, null where there is nothing to say.

    What is said of a store is there only where something limits it, and a cost only with prices.
    """
    answer = plan_answer(verdict)
    document = answer.complete_document()
    if answer.store is None:
        del document["store"]
        if answer.alternatives is not None:
            del document["alternatives"]["storeImagesPerSecond"]
    if answer.cost is None:
        del document["cost"]
    if answer.alternatives is not None:
        # Cores are only spoken of where GPUs wait for decoding, and money where it is the reason.
        for name in ("workerCores", "maxCost", "costBound"):
            if document["alternatives"][name] is None:
                del document["alternatives"][name]
    # The names of profiles come from files that only the caller has, so they are left out here.
    groups = [group.replace(profile=None).document() for group in answer.groups]
    return {**document, "groups": groups}


def plan_alternatives(infeasible: Infeasible) -> PlanAlternatives:
    """Return what could be asked for instead. Times count from now."""
    alternatives = infeasible.alternatives
    return PlanAlternatives(
        earliest_deadline_seconds=None if alternatives.earliest_us is None else seconds(alternatives.earliest_us),
        largest_images=alternatives.largest_images,
        extra_gpus=dict(alternatives.extra_gpus),
        possible_confidence=alternatives.possible_confidence,
        worker_cores=alternatives.worker_cores,
        store_images_per_second=_images_per_s(alternatives.store_rate),
        **_affordable(infeasible),
    )


def _affordable(infeasible: Infeasible) -> dict[str, str]:
    """Return what is said where money is the reason: the least maxCost that would be enough, and the proved bound."""
    if not isinstance(infeasible, OverCost):
        return {}
    bound = format_amount(infeasible.bound, infeasible.limit.most.currency)
    return {"max_cost": sufficient_max_cost(infeasible), "cost_bound": bound}


def planned_store(problem: Problem, plan: Plan | None = None) -> PlannedStore | None:
    """Return what the store gives the job's devices, and what the plan's take of it; None if nothing limits it."""
    feed = problem.feed
    if feed is None:
        return None
    return PlannedStore(
        name=feed.narrowest.name,
        images_per_second=round(feed.images_per_s, 3),
        planned_images_per_second=_images_per_s(plan.rate) if plan else None,
        least_seconds=seconds(feed.least_us(problem.images)),
    )


def _images_per_s(rate: int | None) -> float | None:
    return None if rate is None else round(rate / MICRO, 3)


def plan_status(plan: Plan, *, now_us: int, revision: int, part_size: int) -> PlanStatus:
    """Return status.plan of a plan that starts now. `part_size` is the grid's, which an earlier plan may have fixed."""
    return PlanStatus(
        revision=revision,
        objective=plan.problem.objective,
        gpus=plan.gpus,
        lower_bound=plan.lower_bound,
        proof=plan.proof,
        proof_sentence=proof_sentence(plan),
        confidence=plan.problem.confidence,
        probability=round(plan.probability, 6),
        part_size=part_size,
        solve_micros=plan.solve_us,
        expected_finish=format_time(now_us + plan.expected_finish_us),
        finish_at_confidence=format_time(now_us + plan.finish_at_confidence_us),
        slack=format_duration(plan.slack_us),
        warnings=(*plan.warnings, *unpriced_warnings(plan.problem.tariff, [g.device_class for g in plan.groups])),
        groups=planned_groups(plan),
        store=planned_store(plan.problem, plan),
        cost=cost_by_cause(plan.cost, CostByCause, bound=plan.cost_bound) if plan.cost else None,
    )


def unpriced_warnings(tariff: Tariff | None, classes: Sequence[str]) -> tuple[str, ...]:
    """Return that the prices of some of a plan's classes aren't known; empty without prices, or if all are."""
    return tuple(filter(None, [tariff.unpriced_clause(classes)])) if tariff else ()


def alternatives_status(infeasible: Infeasible, *, now_us: int) -> AlternativesStatus:
    """Return status.alternatives of a job that is judged now."""
    alternatives = infeasible.alternatives
    return AlternativesStatus(
        earliest_deadline=None
        if alternatives.earliest_us is None
        else format_time_at_least(now_us + alternatives.earliest_us),
        largest_images=alternatives.largest_images,
        extra_gpus={name: count for name, count in alternatives.extra_gpus.items() if count is not None},
        possible_confidence=alternatives.possible_confidence,
        worker_cores=alternatives.worker_cores,
        store_images_per_second=_images_per_s(alternatives.store_rate),
        **_affordable(infeasible),
    )


def never_sentence(problem: Problem) -> str:
    """Return why a job can't be done by any deadline, even if no other job had devices, and what would help."""
    endless = replace(problem, time_us=NEVER_US)
    infeasible = Infeasible(problem=endless, proof="")
    most = _some(infeasible.alternatives.largest_images, problem.images)
    ways = "; ".join([*_ways(infeasible), *_other_limits(endless)])
    return (
        f"{_devices(problem)} that the job may use can do at most {most} at confidence {problem.confidence:g}, however "
        f"long they have. {f'Do one of: {ways}.' if ways else 'Nothing that the job may ask for would be enough.'}"
    )


def alternatives_sentence(infeasible: Infeasible) -> str:
    """Return why the job can't be done as asked, and every change that would help if no other job had devices."""
    if isinstance(infeasible, OverCost):
        return f"{over_cost_sentence(infeasible)} {over_cost_advice(infeasible)}"
    ways = _ways(infeasible)
    if ways:
        advice = f"Do one of: {'; '.join(ways)}."
    else:
        advice = "No later deadline, fewer images, more devices or lower confidence would be enough."
    return f"{reason_sentence(infeasible)} {advice}"


def reason_sentence(infeasible: Infeasible) -> str:
    """Return why the deadline can't be met, even if no other job had devices."""
    problem, most = infeasible.problem, infeasible.alternatives.largest_images
    if problem.time_us <= 0:
        return f"The deadline passed {time_span(-problem.time_us)} ago."
    if sentence := starved_sentence(infeasible):
        return sentence
    return (
        f"{_devices(problem)} that the job may use can do at most {_some(most, problem.images)} in "
        f"{format_duration(problem.time_us)} at confidence {problem.confidence:g}.{serial_sentences(infeasible)}"
    )


def serial_sentences(infeasible: Infeasible) -> str:
    """Return, after a space, that no number of cores feeds the GPUs; empty where it isn't so."""
    return "".join(f" {capital(warning)}." for warning in infeasible.serial_warnings)


def starved_sentence(infeasible: Infeasible) -> str:
    """Return that the store is why the deadline can't be met; empty if the devices are too few for it anyhow."""
    problem, most = infeasible.problem, infeasible.alternatives.largest_images
    feed = problem.feed
    if feed is None or replace(problem, feed=None).fewest() is None:
        return ""
    if feed.least_us(problem.images) > problem.time_us:
        needed = problem.images * MICROS_PER_SECOND / problem.time_us
        return (
            f"{counted(problem.images, 'image')} in {format_duration(problem.time_us)} are {rate_words(needed)}; "
            f"{least_time_sentence(problem, feed)}"
        )
    classes = {group.device_class for group in problem.pool.groups if group.count}
    several = counted(len(classes), "class", "classes")
    unproved = f" It is not proved that {several} can't, if they divide the store otherwise."
    return (
        f"{capital(feed_words(feed))}, and {counted(_most_fed(problem), 'device')} would take all of it: at most "
        f"{_some(most, problem.images)} in {format_duration(problem.time_us)} at confidence {problem.confidence:g}."
        f"{unproved if len(classes) > 1 and problem.unfed.fewest() is not None else ''}"
    )


def least_time_sentence(problem: Problem, feed: StoreFeed) -> str:
    """Return the bound that the store sets to any number of devices, as the end of a sentence."""
    least = format_at_least(feed.least_us(problem.images))
    return f"no number of {device_word(problem.pool)}s is faster than {least}: {feed_words(feed)}."


def feed_words(feed: StoreFeed) -> str:
    """Return `the store s3://bucket gives 5,500 images/s`."""
    limit = feed.narrowest
    return f"{limit.name if limit.is_own else f'the store {limit.name}'} gives {rate_words(feed.images_per_s)}"


def rate_words(images_per_s: float) -> str:
    """Return `5,500 images/s`; with digits after the point below ten."""
    return f"{images_per_s:,.0f} images/s" if images_per_s >= 10 else f"{images_per_s:.3g} images/s"


def store_needed(infeasible: Infeasible) -> str:
    """Return what the limit would have to be, in its own unit; empty if a faster store is not enough."""
    feed, rate = infeasible.problem.feed, infeasible.alternatives.store_rate
    if feed is None or rate is None:
        return ""
    limit, present = feed.at(rate).narrowest, feed.narrowest
    if feed.is_bound_by_bytes:
        return f"{limit.bytes_per_s or 0:,} bytes/s from {present.name}, in place of {present.bytes_per_s or 0:,}"
    return f"{limit.requests_per_s or 0:,} requests/s from {present.name}, in place of {present.requests_per_s or 0:,}"


def cores_needed(infeasible: Infeasible) -> str:
    """Return `12 cores, in place of 2`; empty if GPUs don't wait for decoding or more cores are not enough."""
    cores = infeasible.alternatives.worker_cores
    if cores is None:
        return ""
    return f"{counted(cores, 'core')}, in place of {present_cores(infeasible.problem.pool.groups)}"


def transcoding_needed(infeasible: Infeasible) -> str:
    """Return into what the images could be transcoded, and what that takes; empty if it is not enough."""
    takes_us = infeasible.alternatives.transcoding_us
    return "" if takes_us is None else f"{SQUARES}: one core needs at least {format_at_least(takes_us)} for it, once"


def would_do_in_tars(problem: Problem) -> bool:
    """Return whether the job could be done if its single objects were in tars, of which one request reads many."""
    feed = problem.feed
    if feed is None or not feed.is_of_single_objects:
        return False
    return replace(problem, feed=feed.in_tars()).fewest() is not None


def _most_fed(problem: Problem) -> int:
    return max(way.most for way in problem.ways)


def _devices(problem: Problem) -> str:
    """Return how many devices it is about: others may hold more, and the job's limits may leave some out."""
    return "The only device" if problem.most == 1 else f"The {counted(problem.most, 'device')}"


def limit_words(problem: Problem, more: int) -> str:
    """Return what has to change beside so many more devices, after a space; nothing if the job may have them all."""
    devices = sum(group.count for group in problem.pool.groups)
    if problem.max_gpus is None or devices + more <= problem.max_gpus:
        return ""
    return " with the job's limit (gpus.max) raised by as many"


def sufficient_max(problem: Problem) -> int | None:
    """Return the least gpus.max that is enough on the devices that there are; None if none is, or none is set."""
    return None if problem.max_gpus is None else replace(problem, max_gpus=None).fewest()


def _ways(infeasible: Infeasible) -> list[str]:
    problem, alternatives = infeasible.problem, infeasible.alternatives
    ways = []
    if alternatives.earliest_us is not None:
        ways.append(f"move the deadline to {format_at_least(alternatives.earliest_us)} from now")
    if alternatives.largest_images:
        ways.append(f"lower images to {alternatives.largest_images:,}")
    ways += [
        f"add {count} more of {name}{limit_words(problem, count)}"
        for name, count in alternatives.extra_gpus.items()
        if count
    ]
    if alternatives.possible_confidence is not None:
        ways.append(f"lower the confidence to {alternatives.possible_confidence:g}")
    if needed := cores_needed(infeasible):
        ways.append(f"give each GPU's worker {needed}")
    if needed := transcoding_needed(infeasible):
        ways.append(f"transcode the images into {needed}")
    if needed := store_needed(infeasible):
        ways.append(f"have {needed}")
    if would_do_in_tars(problem):
        ways.append(f"put the images into tars, {TARS}")
    return ways


def _other_limits(problem: Problem) -> Iterator[str]:
    """Yield each limit that the job's owner has set and that would be enough if it were moved."""
    if enough := sufficient_max(problem):
        yield f"raise gpus.max to {enough:,}"
    iterations, reserve = problem.max_iterations, problem.reserve
    if iterations is not None:
        more = find_least_near(
            lambda count: replace(problem, max_iterations=count).fewest() is not None,
            iterations + 1,
            near=iterations + 1,
            most=MAX_N,
        )
        if more is not None:
            yield f"raise gpus.maxIterations to {more:,}"
    if reserve and replace(problem, reserve=0).fewest() is not None:
        less = find_least(lambda count: replace(problem, reserve=reserve - count).fewest() is not None, 1, reserve)
        yield f"lower gpus.reserve to {reserve - less:,}"


def proof_sentence(plan: Plan) -> str:
    """Return why no fewer devices are enough, or cheaper ones, and how fast any can be if the store limits that."""
    problem = plan.problem
    first = _fewest_sentence(plan) if plan.cost_bound is None else _cheapest_sentence(plan, plan.cost_bound)
    if problem.feed is None or not problem.is_bound_by_store:
        return first
    return f"{first} {capital(least_time_sentence(problem, problem.feed))}"


def _cheapest_sentence(plan: Plan, bound: int) -> str:
    """Return that nothing is cheaper, or how far the plan may be from what is."""
    cost, others = plan.cost, "meet the deadline" if plan.is_in_time else "end as early"
    none = f"No {device_word(plan.problem.pool)}s of this pool that {others} cost less"
    return f"{none}." if cost is None else bound_sentence(none, cost, bound)


def bound_sentence(none: str, cost: PlanCost, bound: int) -> str:
    """Return the words `none`, and below what there is nothing, in millionths, if what was found costs more."""
    if cost.total <= bound:
        return f"{none}."
    return (
        f"{none} than {format_amount(bound, cost.currency)}; whether any cost less than the plan, by up to "
        f"{1 - bound / cost.total:.2%}, is not known."
    )


def _fewest_sentence(plan: Plan) -> str:
    what = device_word(plan.problem.pool)
    if plan.lower_bound < plan.gpus:
        fewer = plan.lower_bound - 1
        proved = f"{counted(fewer, what)} can't do it, whatever the store gives. " if fewer else ""
        return f"{proved}It is not proved that fewer than {plan.gpus:,} can't, if they divide the store otherwise."
    if plan.gpus == 1:
        return f"No plan has fewer than 1 {what}."
    fewer = plan.gpus - 1
    if not plan.is_in_time:
        ends = format_duration(plan.finish_at_confidence_us)
        none = f"No single {what} of this pool ends" if fewer == 1 else f"No {counted(fewer, what)} of this pool end"
        return f"{none} within {ends}, as these {plan.gpus:,} do."
    most, images = plan.max_images_of_fewer, plan.problem.images
    return f"{counted(fewer, what)} can do at most {_some(most, images)} by the deadline."


def device_word(pool: Pool) -> str:
    """Return what a device of the pool is called: `GPU`, `CPU slice`, or `device` if it has both.

    The engine says on which of the two it runs. A GPU on which an engine for CPUs was measured is no CPU slice.
    """
    on_cpu = {runs_on_cpu(choice.engine) for group in pool.groups for choice in group.choices}
    if on_cpu == {False}:
        return "GPU"
    has_slices = all(group.device_class.startswith(_SLICES) for group in pool.groups)
    return "CPU slice" if on_cpu == {True} and has_slices else "device"


def _some(count: int, images: int) -> str:
    """Return `640 of 5,000 images`."""
    return f"{count:,} of {counted(images, 'image')}"
