"""What a run has shown of this machine's devices, as a row for each profile that it was planned with.

The rows are the operator's (dueby_operator/model/observations.py), with what is so on one machine. A profile's L was
measured with every device busy, so a run says nothing about it that left a device idle: its first plan needed fewer,
one was given back or to others, or one came too late for its steps to count. Neither do careful workers, which decode
in processes of their own. A slice of cores decodes its images itself: the plan knows how long that takes, and it isn't
waiting. Start-ups are left out, because the measured S includes the check of the engine's first results, and a worker
doesn't say how long that took.
"""

from collections import defaultdict
from collections.abc import Sequence

from dueby.local.process import Process
from dueby.local.record import Record
from dueby.local.this_machine import LocalPool
from dueby_api.engines import runs_on_cpu
from dueby_api.gpu_profile import GPUProfile, ObservedJob
from dueby_api.inference_job import InferenceJob
from dueby_api.input_cost import FREE, InputCost
from dueby_operator.model.observations import Observation, observation_of, row_of
from dueby_planner.model.input_cost import latency_with_input_us


def rows_of_run(
    run: str, job: InferenceJob, pool: LocalPool, processes: Sequence[Process], *, record: Record, now_us: int
) -> dict[str, ObservedJob]:
    """Return the row of each profile by its name, for those of the pool's that the run says something about.

    `run` is its name, and `processes` are all that it had.
    """
    profiles = {profile.name: profile for profile in pool.profiles}
    shown: dict[str, list[Observation]] = defaultdict(list)
    busy = set()
    for process in processes:
        profile = profiles.get(process.assignment.choice.profile)
        if profile and process.progress.batches and not process.is_careful:
            found = _observation(process, profile, record.cost or FREE, cpus=pool.worker_cpus, now_us=now_us)
            shown[profile.name].append(found)
            if found.ratio is not None:
                busy.add(process.slot.name)
    devices = sum(pool.counts.values())
    gave_back = any(replan.reason in ("Ahead", "GaveWay") for replan in record.replans)
    if job.spec.has_own_times or gave_back or min(len(busy), _planned_at_first(processes)) < devices:
        return {}
    rows = {name: row_of(run, workers, now_us=now_us) for name, workers in shown.items()}
    return {name: row for name, row in rows.items() if row.step_ratio is not None}


def _planned_at_first(processes: Sequence[Process]) -> int:
    """Return how many workers the first plan had."""
    revision = min((process.assignment.revision for process in processes), default=0)
    return sum(process.assignment.revision == revision for process in processes)


def _observation(process: Process, profile: GPUProfile, cost: InputCost, *, cpus: int, now_us: int) -> Observation:
    size, input_us = process.assignment.choice.mini_batch_size, 0
    if runs_on_cpu(profile.spec.engine):
        input_us = latency_with_input_us(profile.spec, 0, size, cost, cpus=cpus)
    age_us = (process.ended_us or now_us) - process.created_us
    return observation_of(process.assignment, process.progress, age_us=age_us, input_us=input_us)
