"""One job's plan in words: its groups of devices, the sentences with the proof, and the ways out if it can't be met.

The table (terminal/plan_table.py) and the page (planned_job.py) are made of these words, so both say the same.

Which deadline can be met is said as what to write into the manifest, and until when the job then takes. `dueby run`
counts a `deadline` from its start, and plans only when the source is indexed. So what has passed until then is part of
the advice, and a little more, since it takes no less than that the next time.
"""

from collections.abc import Callable

from dueby_api.inference_job import JobSpec
from dueby_api.prices import MICRO_UNITS, format_amount, format_number, format_units
from dueby_api.units import MICROS_PER_SECOND, format_duration, format_exactly, format_time
from dueby_api.words import counted, slack_words, time_span
from dueby_planner.answer import (
    TARS,
    cores_needed,
    device_word,
    feed_words,
    limit_words,
    planned_cost,
    proof_sentence,
    rate_words,
    serial_sentences,
    starved_sentence,
    store_needed,
    sufficient_max,
    transcoding_needed,
    would_do_in_tars,
)
from dueby_planner.model.cost import Tariff
from dueby_planner.model.cost_words import NEVER_AFFORDABLE, over_cost_sentence, sufficient_max_cost
from dueby_planner.model.feed import MICRO, rate_of
from dueby_planner.model.max_cost import OverCost
from dueby_planner.model.plan import Infeasible, Plan

# Of what has passed until the plan was made; at least a second, and nothing where nothing has.
_ALLOWANCE = 4
# A manifest takes five digits of hours.
_MAX_HOURS = 99_999
_HOUR_US = 3600 * MICROS_PER_SECOND
# What it takes to write a time into the manifest and to start again.
_EDITING_US = 60 * MICROS_PER_SECOND
CLAIM = "“No fewer can” holds for the measured mini-batch sizes, this confidence and this pool."
COST_CLAIM = "This holds for the measured mini-batch sizes, this confidence, this pool and these prices."
# What the claim is about; with `interpolate`, sizes between the measured ones are part of it.
_MEASURED = "measured mini-batch sizes"
GROUP_COLUMNS = ("CLASS", "ENGINE", "COUNT", "BATCH", "ITERATIONS", "IMAGES EACH", "S + W", "STEP", "FINISH")
TEXT_COLUMNS = ("CLASS", "ENGINE")
ASSUMED = "Times are assumed from published figures, and were not measured."
INFEASIBLE = "Infeasible"
WAYS_OUT = "Any one of these would be enough:"
LATE_PLAN = "The plan that ends earliest, which a Soft or Relaxed job starts although it is late:"


def group_rows(plan: Plan) -> list[tuple[str, ...]]:
    """Return a row for each group of devices, in the order of GROUP_COLUMNS."""
    return [
        (
            group.device_class,
            group.choice.engine,
            f"{group.count:,}",
            f"{group.choice.mini_batch_size:,}",
            f"1 + {group.iterations:,}",
            f"{group.images_each:,}",
            format_duration(group.choice.expected_start_us),
            f"{group.choice.latency_us / 1000:,.1f} ms",
            format_duration(group.expected_finish_us),
        )
        for group in plan.groups
    ]


def what_for(plan: Plan) -> str:
    """Return the number of devices for what: `2 GPUs for 5,000 images`."""
    problem = plan.problem
    return f"{counted(plan.gpus, device_word(problem.pool))} for {counted(problem.images, 'image')}"


def when(plan: Plan, *, whole_us: int | None = None) -> str:
    """Return how long the plan has, when it ends, and how that stands to the deadline.

    `whole_us` is the time that the job had at its start, if that was before: the run's end is told by that clock.
    """
    problem = plan.problem
    within = f"in {format_duration(problem.time_us)}" if problem.time_us > 0 else "after the deadline"
    if whole_us is not None and problem.time_us > 0:
        within = f"in the {format_duration(problem.time_us)} left of {format_duration(whole_us)}"
    return (
        f"{within}: expected after {format_duration(plan.expected_finish_us)}, at confidence {problem.confidence:g} "
        f"after {format_duration(plan.finish_at_confidence_us)}, {slack_words(plan.slack_us)}."
    )


def odds(plan: Plan) -> str:
    """Return the probability of being in time, and the size of a part."""
    probability = "over 0.9999" if plan.probability > 0.9999 else f"{plan.probability:.4f}"
    return f"Probability of being in time: {probability}. Parts of {counted(plan.part_size, 'image')}."


def feeding(plan: Plan) -> str:
    """Return what the store gives, and what of it the devices take; empty if nothing is known to limit it."""
    feed = plan.problem.feed
    if feed is None:
        return ""
    shared = f"{feed_words(feed)}, and the plan takes {rate_words(plan.rate / MICRO)}"
    if not plan.is_paced:
        return f"What feeds them: {shared}."
    could = sum(g.count * rate_of(g.choice.unpaced or g.choice) for g in plan.groups) / MICRO
    return f"What feeds them: {shared}, of {rate_words(could)} that the devices could do."


def costs(plan: Plan) -> list[str]:
    """Return what the plan costs, by what, beside what else, and by which prices; empty without prices."""
    cost = planned_cost(plan)
    tariff = plan.problem.tariff
    if cost is None or tariff is None:
        return []

    def amount(units: float) -> str:
        return format_units(units, cost.currency)

    causes = {
        "start-up": cost.start_up,
        "work": cost.work,
        "waiting for images": cost.waiting,
        "idle at the end": cost.idle,
        "rounding": cost.rounding,
    }
    terms = ", ".join(
        f"{cause} {format_number(round(units * MICRO_UNITS))}" for cause, units in causes.items() if units
    )
    lines = [f"Cost: {amount(cost.total)} expected{f' ({terms})' if terms else ''}."]
    beside = []
    if (alone := cost.cheapest_class) and alone.device_class:
        beside.append(f"{alone.gpus:,} × {alone.device_class} alone, the cheapest class, {amount(alone.total)}")
    if whole := cost.all_devices:
        end = format_duration(round(whole.expected_seconds * MICROS_PER_SECOND))
        beside.append(f"all {whole.gpus:,} at once {amount(whole.total)}, in {end}")
    if beside:
        lines.append(f"Beside it: {'; '.join(beside)}.")
    prices = dict.fromkeys(_price_words(tariff, group.device_class) for group in plan.groups)
    return [*lines, f"Prices: {'; '.join(prices)}."]


def _price_words(tariff: Tariff, device_class: str) -> str:
    price = tariff.price_of(device_class)
    if price is None:
        return f"{device_class}: none"
    origin = f" ({price.origin})" if price.origin else ""
    return f"{device_class} {format_amount(price.hourly, tariff.currency)} an hour{origin}"


def proof(plan: Plan) -> str:
    """Return why no fewer devices are enough, and what that holds for."""
    choices = [choice for group in plan.problem.groups for choice in group.choices]
    between = " and those between them" if any(choice.interpolation for choice in choices) else ""
    is_proved = plan.cost_bound is not None or plan.lower_bound == plan.gpus
    words = CLAIM if plan.cost_bound is None else COST_CLAIM
    claim = f" {words.replace(_MEASURED, _MEASURED + between)}" if is_proved else ""
    return f"Proof ({plan.proof}, {plan.solve_us / 1000:.1f} ms): {proof_sentence(plan)}{claim}"


def why_infeasible(infeasible: Infeasible, advise: Callable[[int], str]) -> str:
    """Return why the deadline can't be met; it follows INFEASIBLE and a colon."""
    if isinstance(infeasible, OverCost):
        sentence = over_cost_sentence(infeasible)
        return f"{sentence[:1].lower()}{sentence[1:].removesuffix('.')} ({infeasible.proof})."
    problem, alternatives = infeasible.problem, infeasible.alternatives
    devices, images = counted(problem.most, device_word(problem.pool)), counted(problem.images, "image")
    if problem.time_us <= 0:
        passed = time_span(-problem.time_us)
        return (
            f"the deadline passed {passed} ago, before work on {images} could begin. "
            f"What it takes: {_more_time(infeasible, advise)}"
        )
    if starved := starved_sentence(infeasible):
        return f"{starved[:1].lower()}{starved[1:].removesuffix('.')} ({infeasible.proof})."
    return (
        f"{devices} can do at most {alternatives.largest_images:,} of {images} in {format_duration(problem.time_us)} "
        f"at confidence {problem.confidence:g} ({infeasible.proof}).{serial_sentences(infeasible)}"
    )


def ways_out(infeasible: Infeasible, advise: Callable[[int], str]) -> list[tuple[str, str]]:
    """Return each change that would be enough alone: what, and to what value. None after the deadline.

    `advise` makes of the least time that the job takes from now what to write into its manifest.
    """
    problem, alternatives = infeasible.problem, infeasible.alternatives
    if isinstance(infeasible, OverCost):
        most = alternatives.largest_images
        fewer = [("at most", counted(most, "image"))] if most else []
        return [
            ("a maxCost of", sufficient_max_cost(infeasible)),
            ("more time", _more_time(infeasible, advise)),
            *fewer,
        ]
    if problem.time_us <= 0:
        return []
    ways = [
        ("more time", _more_time(infeasible, advise)),
        ("at most", counted(alternatives.largest_images, "image")),
        (
            "a confidence of",
            "none" if alternatives.possible_confidence is None else f"{alternatives.possible_confidence:g}",
        ),
    ]
    if needed := cores_needed(infeasible):
        ways.append(("for each worker", needed))
    if needed := transcoding_needed(infeasible):
        ways.append(("images in", needed))
    if needed := store_needed(infeasible):
        ways.append(("a limit of", needed))
    if would_do_in_tars(problem):
        ways.append(("tars", TARS))
    if enough := sufficient_max(problem):
        ways.append(("a gpus.max of", f"{enough:,}"))
    return ways + [
        (f"more {name}", "no number is enough" if n is None else f"{n:,}{limit_words(problem, n)}")
        for name, n in alternatives.extra_gpus.items()
    ]


def _more_time(infeasible: Infeasible, advise: Callable[[int], str]) -> str:
    earliest_us = infeasible.alternatives.earliest_us
    if earliest_us is not None:
        return advise(earliest_us)
    return NEVER_AFFORDABLE if isinstance(infeasible, OverCost) else "never with this pool"


def advise_deadline(spec: JobSpec, earliest_us: int, *, now_us: int, start_us: int) -> str:
    """Return the advice for a job that was started then and is judged now, if work ends `earliest_us` from now."""
    passed_us = now_us - start_us
    allowance_us = max(MICROS_PER_SECOND, passed_us // _ALLOWANCE) if passed_us > 0 else 0
    needed_us = _whole_seconds(earliest_us + passed_us + allowance_us)
    if spec.deadline_time is not None:
        at_us = _whole_seconds(now_us + needed_us + _EDITING_US)
        return f"deadlineTime: {format_time(at_us)} (started within a minute)"
    if needed_us > _MAX_HOURS * _HOUR_US:
        return f"no deadline is enough (a manifest takes at most {_MAX_HOURS}h)"
    ends = format_time(_whole_seconds(now_us + needed_us))
    return f"deadline: {format_exactly(needed_us // MICROS_PER_SECOND)} (until {ends}, started now)"


def _whole_seconds(micros: int) -> int:
    """Return the time rounded up to a second."""
    return -(-micros // MICROS_PER_SECOND) * MICROS_PER_SECOND
