"""An InferenceJob as the API server shows it, parsed: what is wrong with it is this job's alone.

The API server drops fields that the resource definition doesn't have. So a field that is unknown here comes from a
newer definition, which also adds its default to every job that there is. While a release is upgraded, the old operator
sees that for some seconds. It leaves such jobs alone, as they are, for the new one.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace

from dueby_api.errors import Invalid, UnknownField
from dueby_api.inference_job import InferenceJob
from dueby_api.schema import decode
from dueby_api.status import JobStatus, read_status
from dueby_api.words import counted
from dueby_operator.control.clear import OVER, is_expired
from dueby_operator.model.job_snapshot import Fault, JobMemory, JobSnapshot, TurnedAway
from dueby_operator.objects.stored_jobs import StoredJob, length_of

# A job's spec as JSON. People read it, and it has to fit into a Job of Kubernetes several times.
MAX_SPEC_BYTES = 2**16
# A job's status as JSON: 64 packed profiles of 4 KiB, 256 windows, 16 conditions of 4 KiB.
MAX_STATUS_BYTES = 2**19
LONG = "has {length:,} bytes as JSON, but a job may have {most:,}; put what is long into a ConfigMap or a file"
CROWDED = "waits to be read: the namespace has more or larger jobs than are read at once; wait, or delete some"
# Without it a job that is done would be done again.
UNREADABLE = "its status can't be read: {reason}"
NEWER = "this operator doesn't know {field}, so the resource definition is newer than it; upgrade the operator"
log = logging.getLogger(__name__)


class NewerJobs:
    """Tells once of each job that has fields of a newer definition."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def note(self, jobs: Iterable[JobSnapshot]) -> None:
        """Log those of the jobs, which were just read, that were not known to be newer."""
        newer = {job.uid: job for job in jobs if job.unreadable}
        for uid in newer.keys() - self._told:
            job = newer[uid]
            log.warning("%s/%s is left alone: %s", job.namespace, job.name, job.unreadable)
        self._told = set(newer)


def is_too_long(stored: StoredJob) -> bool:
    """Return whether some of the job isn't read, since it is longer than any job should be."""
    return length_of(stored.spec) > MAX_SPEC_BYTES or length_of(stored.status) > MAX_STATUS_BYTES


def read_job(stored: StoredJob, memories: Mapping[str, JobMemory], *, now_us: int) -> JobSnapshot:
    """Return an InferenceJob as the API server stores it, with what is remembered of it."""
    manifest: InferenceJob | Invalid
    fault, newer = None, ""
    try:
        manifest = _read_manifest(stored)
    except UnknownField as error:
        manifest, newer = error, NEWER.format(field=error.field)
    except Invalid as error:
        manifest = error
    except Exception as error:  # whatever it is, it is this job's alone
        manifest, fault = Invalid("spec", "can't be read"), Fault(stage="observing", error=error)
    return _snapshot(stored, manifest, memories, now_us=now_us, unreadable=newer, fault=fault)


def turn_away(
    stored: StoredJob, memories: Mapping[str, JobMemory], *, now_us: int, time_to_live_us: int | None
) -> JobSnapshot | None:
    """Return an InferenceJob that waits to be read; of one that is over, what it takes to delete it, None before then.

    `time_to_live_us` is that of jobs that don't say it; None: they are kept.
    """
    job = _snapshot(stored, TurnedAway("spec", CROWDED), memories, now_us=now_us)
    if not stored.is_over:
        return job
    if not is_expired(job, now_us=now_us, time_to_live_us=time_to_live_us):
        return None
    ends = (end.replace(message="") for end in job.status.conditions if end.type in OVER)
    return replace(job, status=JobStatus(phase=job.status.phase, conditions=tuple(ends)))


def _snapshot(
    stored: StoredJob,
    manifest: InferenceJob | Invalid,
    memories: Mapping[str, JobMemory],
    *,
    now_us: int,
    unreadable: str = "",
    fault: Fault | None = None,
) -> JobSnapshot:
    metadata, status = stored.metadata, JobStatus()
    try:
        status = _read_status(stored)
    except Invalid as error:
        unreadable = unreadable or UNREADABLE.format(reason=error)
    return JobSnapshot(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        generation=metadata.generation,
        resource_version=metadata.resource_version,
        # API servers' clocks differ, and a job is not from the future.
        created_us=now_us if metadata.created_us is None else min(now_us, metadata.created_us),
        is_deleting=metadata.is_deleting,
        is_restored=metadata.is_restored,
        unreadable=unreadable,
        fault=fault,
        manifest=manifest,
        status=status,
        time_to_live_us=stored.time_to_live_us,
        memory=memories.get(metadata.uid, JobMemory()),
    )


def _read_status(stored: StoredJob) -> JobStatus:
    if (length := length_of(stored.status)) > MAX_STATUS_BYTES:
        raise Invalid(
            "status", f"has {counted(length, 'byte')} as JSON; the operator writes at most {MAX_STATUS_BYTES:,}"
        )
    return read_status(JobStatus, stored.status)


def _read_manifest(stored: StoredJob) -> InferenceJob:
    if length_of(stored.spec) > MAX_SPEC_BYTES:
        raise Invalid("spec", LONG.format(length=length_of(stored.spec), most=MAX_SPEC_BYTES))
    metadata = {"name": stored.metadata.name, "namespace": stored.metadata.namespace}
    head = json.dumps({"apiVersion": stored.api_version, "kind": stored.kind, "metadata": metadata})
    return decode(InferenceJob, b"".join((head[:-1].encode(), b',"spec":', bytes(stored.spec), b"}")))
