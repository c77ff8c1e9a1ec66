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


def memory(given: PolicyInput) -> Outcome:
    """End workers whose memory is too little for their mini-batches, and the job if it is for any."""
    killed = [found for found in out_of_memory(given.job) if found.times >= IN_A_ROW]
    if not killed or given.is_full:
        return Outcome()
    limits = dict(given.status.mini_batch_limits or {})
    for found in killed:
        size, device_class = found.assignment.choice.mini_batch_size, found.assignment.device_class
        if size <= limits.get(device_class, size):
            limits[device_class] = max(_smaller(given, found), default=0)
            if not limits[device_class]:
                return failed(Reason.MEMORY_TOO_LITTLE, _too_little(found))
    jobs = {found.worker_job.name: found.worker_job.job for found in killed}
    stopping = tuple(name for name, job in jobs.items() if not job.metadata.is_deleting)[:MAX_STOPPED]
    if not stopping and not any(is_leaving(job, now_us=given.now_us) for job in jobs.values()):
        return Outcome()
    return Outcome(
        conditions=(NewCondition(reason=Reason.WAITING_FOR_CLEANUP, message=_shrinking(killed[0], limits)),),
        status=given.status.replace(mini_batch_limits=limits),
        actions=(StopJobs(jobs=stopping),) if stopping else (),
        ends=True,
    )


def _smaller(given: PolicyInput, found: MemoryFailure) -> Iterator[int]:
    """Yield the measured mini-batch sizes that may fit where this one didn't."""
    choice, limit = found.assignment.choice, found.ending.memory_limit
    for profile in plannable(given.profiles, given.spec):
        spec = profile.spec
        on_cpu = runs_on_cpu(spec.engine)
        limit_bytes = quantity(limit) if limit else inf
        if spec.device_class == found.assignment.device_class:
            for step in spec.steps:
                # Of a GPU's engine `memory_mib` is the GPU's.
                fits = ((step.memory_mib if on_cpu else step.host_memory_mib) or 0) * MIB < limit_bytes
                if fits and step.mini_batch_size * SHRINKS_BY <= choice.mini_batch_size:
                    yield step.mini_batch_size


def _shrinking(found: MemoryFailure, limits: Mapping[str, int]) -> str:
    sizes = ", ".join(f"{limit} on {name}" for name, limit in sorted(limits.items()))
    return f"{_told(found)} Such workers are ended, and the rest is planned with at most {sizes}."


def _too_little(found: MemoryFailure) -> str:
    return f"{_told(found)} The profile has no smaller ones that would fit. The rows in the sink are kept."


def _told(found: MemoryFailure) -> str:
    size = counted(found.assignment.choice.mini_batch_size, "image")
    return f"{found.ending.sentence}. It happened {times(found.times)} in a row, with mini-batches of {size}."
