"""Memory: is the limit of the workers' containers enough for their mini-batches?

no worker was OOMKilled twice in a row     nothing; the first time is in the condition OnTrack (jobs/pod_diagnosis)
a smaller mini-batch may fit               the largest that does is recorded for the class; Jobs of such workers are
                                           deleted (Admitted False, WaitingForCleanup), and the rest is planned again
none does                                  Failed, OutOfMemory

Once may be chance, such as a large image. Twice is none: their Job would start such workers seven times, minutes apart,
and all with the same mini-batch.
"""

from collections.abc import Iterator, Mapping
from math import inf

from dueby_api.conditions import Reason
from dueby_api.engines import runs_on_cpu
from dueby_api.quantities import quantity
from dueby_api.words import counted, times
from dueby_operator.control.chain import Outcome, PolicyInput, failed
from dueby_operator.jobs.pod_diagnosis import MemoryFailure, out_of_memory
from dueby_operator.jobs.repeats import is_leaving
from dueby_operator.model.actions import MAX_STOPPED, StopJobs
from dueby_operator.model.conditions import NewCondition
from dueby_planner.profiles.class_profiles import plannable

IN_A_ROW = 2
# What a worker needs beside its mini-batch isn't known: one that is a little smaller may not be enough.
SHRINKS_BY = 4
MIB = 2**20


def memory(inputs: PolicyInput) -> Outcome:
    """End workers whose memory is too little for their mini-batches, and the job if it is for any."""
    killed = [failure for failure in out_of_memory(inputs.job) if failure.times >= IN_A_ROW]
    if not killed or inputs.is_full:
        return Outcome()
    limits = dict(inputs.status.mini_batch_limits or {})
    for failure in killed:
        size, device_class = failure.assignment.choice.mini_batch_size, failure.assignment.device_class
        if size <= limits.get(device_class, size):
            limits[device_class] = max(_smaller(inputs, failure), default=0)
            if not limits[device_class]:
                return failed(Reason.MEMORY_TOO_LITTLE, _too_little(failure))
    jobs = {failure.worker_job.name: failure.worker_job.job for failure in killed}
    stopping = tuple(name for name, job in jobs.items() if not job.metadata.is_deleting)[:MAX_STOPPED]
    if not stopping and not any(is_leaving(job, now_us=inputs.now_us) for job in jobs.values()):
        return Outcome()
    return Outcome(
        conditions=(NewCondition(reason=Reason.WAITING_FOR_CLEANUP, message=_shrinking(killed[0], limits)),),
        status=inputs.status.replace(mini_batch_limits=limits),
        actions=(StopJobs(jobs=stopping),) if stopping else (),
        ends=True,
    )


def _smaller(inputs: PolicyInput, failure: MemoryFailure) -> Iterator[int]:
    """Yield the measured mini-batch sizes that may fit where this one didn't."""
    choice, limit = failure.assignment.choice, failure.ending.memory_limit
    for profile in plannable(inputs.profiles, inputs.spec):
        spec = profile.spec
        on_cpu = runs_on_cpu(spec.engine)
        limit_bytes = quantity(limit) if limit else inf
        if spec.device_class == failure.assignment.device_class:
            for step in spec.steps:
                # Of a GPU's engine `memory_mib` is the GPU's.
                fits = ((step.memory_mib if on_cpu else step.host_memory_mib) or 0) * MIB < limit_bytes
                if fits and step.mini_batch_size * SHRINKS_BY <= choice.mini_batch_size:
                    yield step.mini_batch_size


def _shrinking(failure: MemoryFailure, limits: Mapping[str, int]) -> str:
    sizes = ", ".join(f"{limit} on {name}" for name, limit in sorted(limits.items()))
    return f"{_told(failure)} Such workers are ended, and the rest is planned with at most {sizes}."


def _too_little(failure: MemoryFailure) -> str:
    return f"{_told(failure)} The profile has no smaller ones that would fit. The rows in the sink are kept."


def _told(failure: MemoryFailure) -> str:
    size = counted(failure.assignment.choice.mini_batch_size, "image")
    return f"{failure.ending.sentence}. It happened {times(failure.times)} in a row, with mini-batches of {size}."
