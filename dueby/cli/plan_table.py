"""A plan as people read it: a table of its devices, the proof in a sentence, and the probability of being in time.

`dueby plan` and `dueby run` print the same. If the deadline can't be met, the ways out come first, then the late plan.
"""

from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dueby.cli.tables import Column, fitted_table
from dueby_api.input_cost import FREE, InputCost
from dueby_api.units import format_duration
from dueby_api.words import counted, slack_words
from dueby_planner.answer import device_word, limit_words, proof_sentence, sufficient_max
from dueby_planner.deadline_classes import Verdict
from dueby_planner.model.plan import Infeasible, Plan

CLAIM = "“No fewer can” holds for the measured mini-batch sizes, this confidence and this pool."
# What the claim is about; with `interpolate`, sizes between the measured ones are part of it.
_MEASURED = "measured mini-batch sizes"
_INFEASIBLE = ("Infeasible", "bold red")
_HEADINGS = ("CLASS", "ENGINE", "COUNT", "BATCH", "ITERATIONS", "IMAGES EACH", "S + W", "STEP", "FINISH")


def print_plan(
    verdict: Verdict,
    console: Console,
    *,
    cost: InputCost = FREE,
    advise: Callable[[int], str] = format_duration,
    warnings_on: Console | None = None,
) -> None:
    """Print the plan of the verdict, or what would be feasible instead; with the job's input cost if it is known.

    `advise` makes of the least time that the job takes from now what to write into its manifest. Warnings are printed
    on a console of their own if there is one.
    """
    warnings = verdict.plan.warnings if verdict.plan else ()
    if verdict.infeasible:
        warnings = warnings or verdict.infeasible.problem.pool.warnings
        _print_infeasible(console, verdict.infeasible, advise)
        if verdict.plan:
            console.print("\nThe plan that ends earliest, which a Soft or Relaxed job starts although it is late:\n")
    if verdict.plan:
        _print_groups(console, verdict.plan)
        _print_proof(console, verdict.plan)
        # Without images to read there is nothing to explain.
        if cost != FREE:
            console.print(Text(_terms(cost)))
    for warning in warnings:
        (warnings_on or console).print(Text(f"Warning: {warning}.", style="yellow"))


def _print_groups(console: Console, plan: Plan) -> None:
    rows = [
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
    columns = [
        Column(heading=heading, cells=cells, is_text=heading in ("CLASS", "ENGINE"))
        for heading, *cells in zip(_HEADINGS, *rows, strict=True)
    ]
    console.print(fitted_table(columns, width=console.width))
    console.print()


def _print_proof(console: Console, plan: Plan) -> None:
    problem = plan.problem
    devices, images = counted(plan.gpus, device_word(problem.pool)), counted(problem.images, "image")
    within = f"in {format_duration(problem.time_us)}" if problem.time_us > 0 else "after the deadline"
    console.print(
        Text.assemble(
            (devices, "bold"),
            f" for {images} {within}: expected after {format_duration(plan.expected_finish_us)}, at confidence "
            f"{problem.confidence:g} after {format_duration(plan.finish_at_confidence_us)}, "
            f"{slack_words(plan.slack_us)}.",
        )
    )
    odds = "over 0.9999" if plan.probability > 0.9999 else f"{plan.probability:.4f}"
    console.print(f"Probability of being in time: {odds}. Parts of {counted(plan.part_size, 'image')}.")
    console.print(f"Proof ({plan.proof}, {plan.solve_us / 1000:.1f} ms): {proof_sentence(plan)} {_claim(plan)}")


def _claim(plan: Plan) -> str:
    choices = [choice for group in plan.problem.groups for choice in group.choices]
    between = " and those between them" if any(choice.interpolation for choice in choices) else ""
    return CLAIM.replace(_MEASURED, _MEASURED + between)


def _terms(cost: InputCost) -> str:
    """Return what the steps in the table contain beside the model."""
    if not (cost.decode_us or cost.get_us):
        return "Input: nothing to read or decode."
    decode_ms, get_ms = cost.decode_us / 1000, cost.get_us / 1000
    words = f"Input, per image in every step: {decode_ms:.2f} ms to decode and {get_ms:.2f} ms to read"
    if cost.bytes_per_image:
        words += f" {cost.bytes_per_image / 1000:,.0f} kB"
    if cost.bandwidth_bytes_per_s:
        words += f" at {cost.bandwidth_bytes_per_s / 1e6:,.0f} MB/s"
    return f"{words}."


def _print_infeasible(console: Console, infeasible: Infeasible, advise: Callable[[int], str]) -> None:
    problem, found = infeasible.problem, infeasible.alternatives
    devices, images = counted(problem.most, device_word(problem.pool)), counted(problem.images, "image")
    more_time = "never with this pool" if found.earliest_us is None else advise(found.earliest_us)
    if problem.time_us <= 0:
        passed = format_duration(-problem.time_us)
        console.print(
            Text.assemble(
                _INFEASIBLE,
                f": the deadline passed {passed} ago, before work on {images} could begin. What it takes: {more_time}",
            )
        )
        return
    console.print(
        Text.assemble(
            _INFEASIBLE,
            f": {devices} can do at most {found.largest_images:,} of {images} in {format_duration(problem.time_us)} "
            f"at confidence {problem.confidence:g} ({infeasible.proof}). Any one of these would be enough:",
        )
    )
    lines: list[tuple[str | Text, str]] = [
        ("more time", more_time),
        ("at most", counted(found.largest_images, "image")),
        ("a confidence of", "none" if found.possible_confidence is None else f"{found.possible_confidence:g}"),
    ]
    if enough := sufficient_max(problem):
        lines.append(("a gpus.max of", f"{enough:,}"))
    lines += (
        (Text(f"more {name}"), "no number is enough" if n is None else f"{n:,}{limit_words(problem, n)}")
        for name, n in found.extra_gpus.items()
    )
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    for row in lines:
        table.add_row(*row)
    console.print(table)
