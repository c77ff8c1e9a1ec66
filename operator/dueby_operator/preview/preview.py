"""Preview jobs: the operator's own decision on all jobs of a cluster, as if these had just been created and indexed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dueby_api.conditions import Reason
from dueby_api.errors import DueByError, Invalid
from dueby_api.inference_job import InferenceJob
from dueby_api.status import JobStatus
from dueby_api.words import counted
from dueby_operator.cluster.nodes import count_devices
from dueby_operator.control.decide import decide
from dueby_operator.control.job_decision import JobDecision
from dueby_operator.kube.client import Missing, Refused
from dueby_operator.model.conditions import NewCondition, merge_conditions
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.preview.reading import FORBIDDEN, Fetch, UsersKube
from dueby_operator.preview.running import as_told
from dueby_operator.preview.snapshot import look

_RIGHTS = (
    "A plan needs the rights to list nodes and gpuprofiles.dueby.dev, which are of the whole cluster; without them, "
    "give `dueby plan` the devices with --pool, and their --profiles"
)


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What the operator would do now with jobs that aren't there."""

    now_us: int
    """In microseconds since 1970."""
    decisions: tuple[JobDecision, ...]
    """About these jobs, in their order."""
    devices: Mapping[str, int]
    """Devices of each class that the cluster has."""
    assumptions: tuple[str, ...]
    """What could not be read, and what counts instead, in sentences."""


def preview_jobs(fetch: Fetch, jobs: Sequence[InferenceJob], *, namespace: str, now_us: int) -> Preview:
    """Return what the operator would do if these jobs were created in the namespace now. Nothing is written.

    Each job says its number of images. `fetch` may be called by several threads at once. Raise Invalid if a job of such
    a name is there, DueByError if nodes or profiles may not be read.
    """
    kube = UsersKube(fetch, namespace=namespace)
    try:
        snapshot, assumptions = asyncio.run(look(kube, namespace, now_us=now_us))
    except Missing:
        raise DueByError("the cluster has no InferenceJobs and GPUProfiles; install DueBy's chart first") from None
    except Refused as error:
        if error.status != FORBIDDEN:
            raise
        raise DueByError(f"{error}. {_RIGHTS}") from None
    new = [_created(job, namespace, now_us=now_us) for job in jobs]
    names = {job.key for job in snapshot.jobs}
    for job in new:
        if job.key in names:
            raise Invalid(
                "metadata.name",
                f"the namespace {namespace} has a job {job.name}, whose plan `kubectl get infj {job.name} -o wide` "
                "shows; give the new one another name",
            )
    seen = replace(snapshot, jobs=(*(as_told(job, now_us=now_us) for job in snapshot.jobs), *new))
    decided = {decision.job.key: decision for decision in decide(seen).jobs}
    return Preview(
        now_us=now_us,
        decisions=tuple(decided[job.key] for job in new),
        devices=count_devices(snapshot.nodes.values()),
        assumptions=assumptions,
    )


def _created(job: InferenceJob, namespace: str, *, now_us: int) -> JobSnapshot:
    """Return the job as one that was just created, and whose source has been counted."""
    images = job.spec.images
    if images is None:
        raise ValueError(f"{job.metadata.name} is previewed before its images are counted")
    indexed = NewCondition(reason=Reason.INDEXED, message=f"{counted(images, 'image')}.")
    return JobSnapshot(
        namespace=namespace,
        name=job.metadata.name,
        uid=f"preview-of-{job.metadata.name}",
        created_us=now_us,
        manifest=job.replace(metadata=job.metadata.replace(namespace=namespace)),
        status=JobStatus(images=images, conditions=merge_conditions((), [indexed], generation=1, now_us=now_us)),
    )
