"""`dueby plan` of several jobs, or on devices that come and go: a calendar."""

import argparse
import time
from collections.abc import Sequence

from dueby.cli.documents import print_calendar
from dueby.fleet_calendar import calendar_of, machine_of, provision_of
from dueby.inputs.pools import Fleet
from dueby.planned_calendar import calendar_answer, shown_plan
from dueby.planning import profiled
from dueby_api.inference_job import InferenceJob
from dueby_planner.schedule.free_devices import PROMISED


def plan_together(jobs: Sequence[InferenceJob], fleet: Fleet, arguments: argparse.Namespace) -> bool:
    """Plan the jobs on one pool and print the calendar; return whether each Hard and each Soft job is in time."""
    profiled_jobs = profiled(jobs, paths=arguments.profiles)
    now_us = time.time_ns() // 1000
    fleet = fleet if arguments.pool else Fleet(counts=machine_of(profiled_jobs))
    provision = provision_of(profiled_jobs, fleet)
    calendar = calendar_of(profiled_jobs, fleet, provision, now_us=now_us)
    answer = calendar_answer(calendar)
    print_calendar(
        answer.complete_document,
        lambda: shown_plan(calendar, answer, now_us=now_us, provision=provision),
        arguments.output,
        notes={note for placed in calendar.placements for note in placed.job.problem.pool.notes},
        is_verbose=arguments.verbose,
    )
    urgent = [placement for placement in calendar.placements if placement.job.deadline_class in PROMISED]
    return all(placement.is_in_time for placement in urgent)
