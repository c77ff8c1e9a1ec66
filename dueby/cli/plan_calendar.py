"""`dueby plan` for several jobs: all of them on one pool, each as its deadline class promises."""

import time
from collections.abc import Sequence

from dueby.cli.documents import print_document, print_page
from dueby.cli.exit_codes import EXIT_INFEASIBLE
from dueby.planned_calendar import calendar_of, machine_of, shown_plan
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob
from dueby_planner.calendar.answer import calendar_answer
from dueby_planner.calendar.calendar import Calendar
from dueby_planner.calendar.pool import PROMISED
from dueby_planner.profiles.size_prediction import predictions


def plan_all(jobs: Sequence[InferenceJob], profiles: list[GPUProfile], counts: dict[str, int], *, output: str) -> int:
    """Plan the jobs on the devices by class, or on this machine's, and print the calendar; return the exit code.

    It is 0 if every Hard and every Soft job is in time, and 3 otherwise.
    """
    known = [(job, [*profiles, *predictions(profiles, job.spec.model)]) for job in jobs]
    now_us = time.time_ns() // 1000
    calendar = calendar_of(known, counts or machine_of(known), now_us=now_us)
    print_calendar(calendar, output, now_us=now_us)
    urgent = [found for found in calendar.placements if found.job.deadline_class in PROMISED]
    return 0 if all(found.is_in_time for found in urgent) else EXIT_INFEASIBLE


def print_calendar(calendar: Calendar, output: str, *, now_us: int) -> None:
    """Print the calendar on stdout: a table or a page for people, or a document for scripts.

    A table's warnings go to stderr.
    """
    answer = calendar_answer(calendar)
    if output in ("json", "yaml"):
        print_document(answer.complete_document(), output)
        return
    shown = shown_plan(calendar, answer, now_us=now_us)
    if output == "html":
        print_page(shown)
        return
    # Imported here because rich takes 50 ms, which a script shall not pay.
    from dueby.cli.calendar_table import print_table

    print_table(shown)
