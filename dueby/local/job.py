"""A job of this machine as a decision sees it: what the index step found stands where the operator's status has it."""

from dueby.local.steps import Indexed
from dueby_api.conditions import Reason
from dueby_api.inference_job import InferenceJob
from dueby_api.parts import Parts
from dueby_api.status import JobStatus
from dueby_api.words import counted
from dueby_operator.model.conditions import NewCondition, merge_conditions
from dueby_operator.model.job_snapshot import JobSnapshot

# None: the profiles of this machine are one's own, and all that they say is believed.
NAMESPACE = ""


def first_snapshot(job: InferenceJob, indexed: Indexed, *, parts_there: Parts, accepted_us: int) -> JobSnapshot:
    """Return an indexed job before its first plan. `parts_there` are those of a sink that was begun before."""
    conditions = [NewCondition(reason=Reason.INDEXED, message=f"{counted(indexed.images, 'image')}.")]
    return JobSnapshot(
        namespace=NAMESPACE,
        name=job.metadata.name,
        uid=job.metadata.name,
        created_us=accepted_us,
        manifest=as_decided(job),
        status=JobStatus(
            images=indexed.images,
            fingerprint=indexed.fingerprint,
            input_cost=indexed.cost,
            agreement=indexed.agreement,
            part_size=indexed.part_size,
            conditions=merge_conditions((), conditions, generation=1, now_us=accepted_us),
        ),
        parts_there=parts_there,
    )


def as_decided(job: InferenceJob) -> InferenceJob:
    """Return the job without what only a cluster has: a queue to wait in, and somebody who would resume it."""
    return job.replace(spec=job.spec.replace(queue_name="", suspend=False))
