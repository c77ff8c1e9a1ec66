"""`dueby plan --compare`: what a job takes on each of several fleets, and what it costs there, side by side."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from dueby.cli.documents import print_document
from dueby.inputs.pools import Fleet
from dueby.plan_words import INFEASIBLE, advise_deadline, why_infeasible
from dueby.planning import profiled, whole_problem
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob
from dueby_api.prices import format_amount
from dueby_api.units import format_duration
from dueby_api.words import slack_words
from dueby_planner.answer import answer_document
from dueby_planner.deadline_classes import Verdict, judge
from dueby_planner.model.cost import Tariff

_COLUMNS = ("FLEET", "DEVICES", "CLASSES", "FINISH", "COST", "DEADLINE")
_TEXT_COLUMNS = ("FLEET", "CLASSES", "DEADLINE")


def print_fleets(
    job: InferenceJob,
    fleets: Mapping[str, Fleet],
    *,
    paths: Sequence[str],
    tariff: Tariff | None,
    output: str,
    is_verbose: bool,
) -> bool:
    """Print the plan on each fleet, by its name, on stdout; return whether the job is in time on any."""
    now_us = time.time_ns() // 1000
    ((_, profiles),) = profiled([job], paths=paths)
    verdicts = {}
    for name, fleet in fleets.items():
        try:
            problem = whole_problem(job, profiles, fleet.counts, now_us=now_us, tariff=tariff)
            verdicts[name] = judge(problem, job.spec.deadline_class)
        except Invalid as error:
            raise Invalid(error.field, f"{error.message} (fleet {name})") from None
    cheapest = cheapest_of(verdicts)
    if output == "table":
        _print_table(job, verdicts, cheapest, now_us=now_us, is_verbose=is_verbose)
    else:
        documents = [
            {
                "fleet": name,
                "devices": fleets[name].counts,
                "cheapest": name in cheapest,
                "plan": answer_document(verdict),
            }
            for name, verdict in verdicts.items()
        ]
        print_document({"fleets": documents}, output)
    return any(verdict.infeasible is None for verdict in verdicts.values())


def cheapest_of(verdicts: Mapping[str, Verdict]) -> set[str]:
    """Return the fleets on which the job is in time and that no other one is known to be cheaper than."""
    costs = {
        name: verdict.plan.cost.total
        for name, verdict in verdicts.items()
        if verdict.plan and verdict.plan.cost and not verdict.infeasible
    }
    return {name for name, cost in costs.items() if cost == min(costs.values())}


def _print_table(
    job: InferenceJob, verdicts: Mapping[str, Verdict], cheapest: set[str], *, now_us: int, is_verbose: bool
) -> None:
    """Print a row for each fleet, and why the deadline can't be met on some; warnings go to stderr."""
    # Imported here because rich takes 50 ms, which a script shall not pay.
    from rich.text import Text

    from dueby.terminal.console import people_console, print_warnings
    from dueby.terminal.tables import Column, fitted_table

    def advise(earliest_us: int) -> str:
        return advise_deadline(job.spec, earliest_us, now_us=now_us, start_us=now_us)

    rows = [_row(name, verdict, is_cheapest=name in cheapest) for name, verdict in verdicts.items()]
    columns = [
        Column(heading=heading, cells=cells, is_text=heading in _TEXT_COLUMNS)
        for heading, *cells in zip(_COLUMNS, *rows, strict=True)
        if any(cells)
    ]
    console = people_console()
    console.print(fitted_table(columns, width=console.width))
    problems = []
    for name, verdict in verdicts.items():
        if infeasible := verdict.infeasible:
            console.print(Text(f"\n{name}: {INFEASIBLE.lower()}: {why_infeasible(infeasible, advise)}"))
        if decided := infeasible or verdict.plan:
            problems.append(decided.problem)
    print_warnings(
        list(dict.fromkeys(warning for problem in problems for warning in problem.pool.warnings)),
        people_console(stderr=True),
        notes={note for problem in problems for note in problem.pool.notes},
        is_verbose=is_verbose,
    )


def _row(name: str, verdict: Verdict, *, is_cheapest: bool) -> tuple[str, ...]:
    """Return the cells of a fleet in the order of _COLUMNS; without prices, that of the cost is empty."""
    plan = verdict.plan
    if plan is None:
        return name, "none", "", "", "", INFEASIBLE.lower()
    counts: Counter[str] = Counter()
    for group in plan.groups:
        counts[group.device_class] += group.count
    classes = " + ".join(f"{count:,} {device_class}" for device_class, count in counts.items())
    cost = format_amount(plan.cost.total, plan.cost.currency) if plan.cost else ""
    if plan.problem.tariff and not cost:
        cost = "unknown"
    return (
        name,
        f"{plan.gpus:,} of {sum(group.count for group in plan.problem.pool.groups):,}",
        classes,
        format_duration(plan.expected_finish_us),
        f"{cost} (cheapest)" if is_cheapest else cost,
        slack_words(plan.slack_us),
    )
