"""A plan as people read it: a table of its devices, the proof in a sentence, and the probability of being in time.

`dueby plan` and `dueby run` print the same. If the deadline can't be met, the ways out come first, then the late plan.
"""

from collections.abc import Callable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dueby import plan_words
from dueby.terminal.console import print_warnings
from dueby.terminal.tables import Column, fitted_table
from dueby_api.input_cost import FREE, InputCost
from dueby_api.units import format_duration
from dueby_planner.deadline_classes import Verdict
from dueby_planner.model.plan import Infeasible, Plan


def print_plan(
    verdict: Verdict,
    console: Console,
    *,
    cost: InputCost = FREE,
    advise: Callable[[int], str] = format_duration,
    whole_us: int | None = None,
    warnings_on: Console | None = None,
    is_verbose: bool = False,
) -> None:
    """Print the plan of the verdict, or what would be feasible instead; with the job's input cost if it is known.

    `advise` makes of the least time that the job takes from now what to write into its manifest. `whole_us` is as in
    `plan_words.when`. Warnings are printed on a console of their own if there is one, and with
    `is_verbose` the notes on the profiles, too.
    """
    if verdict.infeasible:
        _print_infeasible(console, verdict.infeasible, advise)
        if verdict.plan:
            console.print(f"\n{plan_words.LATE_PLAN}\n")
    if verdict.plan:
        _print_one(console, verdict.plan, whole_us)
        # Without images to read there is nothing to explain.
        if cost != FREE:
            console.print(Text(_terms(cost)))
    warnings_on = warnings_on or console
    if decided := verdict.plan or verdict.infeasible:
        pool = decided.problem.pool
        if pool.is_assumed:
            warnings_on.print(Text(f"Warning: {plan_words.ASSUMED}", style="yellow"))
        warnings = verdict.plan.warnings if verdict.plan else pool.warnings
        print_warnings(warnings, warnings_on, notes=pool.notes, is_verbose=is_verbose)


def _print_one(console: Console, plan: Plan, whole_us: int | None) -> None:
    columns = [
        Column(heading=heading, cells=cells, is_text=heading in plan_words.TEXT_COLUMNS)
        for heading, *cells in zip(plan_words.GROUP_COLUMNS, *plan_words.group_rows(plan), strict=True)
    ]
    console.print(fitted_table(columns, width=console.width))
    console.print()
    devices, _, images = plan_words.what_for(plan).partition(" for ")
    console.print(Text.assemble((devices, "bold"), f" for {images} {plan_words.when(plan, whole_us=whole_us)}"))
    console.print(plan_words.odds(plan))
    if fed := plan_words.feeding(plan):
        console.print(Text(fed))
    for line in plan_words.costs(plan):
        console.print(Text(line))
    console.print(plan_words.proof(plan))


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
    ways = plan_words.ways_out(infeasible, advise)
    because = f": {plan_words.why_infeasible(infeasible, advise)} {plan_words.WAYS_OUT if ways else ''}".rstrip()
    console.print(Text.assemble((plan_words.INFEASIBLE, "bold red"), because))
    if ways:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
        for what, value in ways:
            table.add_row(Text(what), value)
        console.print(table)
