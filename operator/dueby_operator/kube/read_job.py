"""An InferenceJob as the API server shows it, parsed: what is wrong with it is this job's alone.

The API server drops fields that the resource definition doesn't have. So a field that is unknown here comes from a
newer definition, which also adds its default to every job that there is. While a release is upgraded, the old operator
sees that for some seconds. It leaves such jobs alone, as they are, for the new one.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from dueby_api.errors import Invalid, UnknownField
from dueby_api.inference_job import InferenceJob, parse_job
from dueby_api.status import JobStatus, read_status
from dueby_operator.model.fault import Fault
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.memory import JobMemory
from dueby_operator.objects.meta import ObjectMeta
from dueby_operator.objects.parse import parse

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


def read_job(document: Mapping[str, Any], memories: Mapping[str, JobMemory], *, now_us: int) -> JobSnapshot:
    """Return an InferenceJob as the API server shows it, with what is remembered of it."""
    metadata = parse(ObjectMeta, document.get("metadata") or {})
    manifest: InferenceJob | Invalid
    fault, newer = None, ""
    try:
        manifest = parse_job(document)
    except UnknownField as error:
        manifest, newer = error, NEWER.format(field=error.field)
    except Invalid as error:
        manifest = error
    except Exception as error:  # whatever it is, it is this job's alone
        manifest, fault = Invalid("spec", "can't be read"), Fault(stage="observing", error=error)
    return JobSnapshot(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        generation=metadata.generation,
        resource_version=metadata.resource_version,
        # API servers' clocks differ, and a job is not from the future.
        created_us=now_us if metadata.created_us is None else min(now_us, metadata.created_us),
        is_deleting=metadata.is_deleting,
        unreadable=newer,
        fault=fault,
        manifest=manifest,
        status=read_status(JobStatus, document),
        memory=memories.get(metadata.uid, JobMemory()),
    )
