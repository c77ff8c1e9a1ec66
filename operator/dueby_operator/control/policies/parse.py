"""Parse: is what the job asks for valid, and until when is it asked for?

    the manifest is wrong     Failed, InvalidJob
    otherwise                 acceptedTime and deadlineTime are recorded, and the chain goes on; that an earlier
                              deadline was missed is forgotten

This policy makes the input of all the others.
"""

from collections.abc import Mapping

from dueby_api.conditions import Reason
from dueby_api.errors import Invalid
from dueby_api.status import JobStatus
from dueby_api.units import format_time
from dueby_operator.cluster.nodes import Node
from dueby_operator.control.chain import Outcome, PolicyInput, refusal
from dueby_operator.control.conditions import without_reasons
from dueby_operator.control.shared import Shared
from dueby_operator.model.job_snapshot import JobSnapshot


def parse(
    job: JobSnapshot,
    *,
    shared: Shared,
    now_us: int,
    nodes: Mapping[str, Node] | None = None,
    worker_image: str = "",
) -> PolicyInput | Outcome:
    """Return the job as the policies after this one see it, or what is wrong with it."""
    manifest = job.manifest
    if isinstance(manifest, Invalid):
        return refusal(manifest)
    measured = {profile.spec.device_class for profile in shared.profiles}
    spec = shared.devices.with_own_classes(manifest.spec, measured=measured)
    deadline_us = spec.deadline_us(accepted_us=job.accepted_us)
    return PolicyInput(
        job=job,
        manifest=manifest.replace(spec=spec),
        deadline_us=deadline_us,
        now_us=now_us,
        nodes=nodes or {},
        worker_image=worker_image,
        status=_with_times(job.status, accepted_us=job.accepted_us, deadline_us=deadline_us, now_us=now_us),
        memory=job.memory,
        shared=shared,
    )


def _with_times(status: JobStatus, *, accepted_us: int, deadline_us: int, now_us: int) -> JobStatus:
    if now_us < deadline_us:  # an earlier one that was missed is none any more
        status = without_reasons(status, Reason.MISSED)
    return status.replace(accepted_time=format_time(accepted_us), deadline_time=format_time(deadline_us))
