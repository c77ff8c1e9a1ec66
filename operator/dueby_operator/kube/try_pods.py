"""Ask the API server what it would say to a job's pods, without making any."""

from dueby_operator import paths
from dueby_operator.cluster.devices import ClusterDevices
from dueby_operator.control.trial import is_passing, require_kept_sink, trial_pod
from dueby_operator.jobs.manifests import Owner
from dueby_operator.kube.client import Conflict, Kube, Refused
from dueby_operator.kube.documents import read_document


async def try_pod(kube: Kube, owner: Owner, devices: ClusterDevices) -> None:
    """Raise Refused if the API server takes no worker's pod of the job, Invalid if that would keep no rows."""
    try:
        pods = paths.core_path("pods", owner.namespace)
        pod = await kube.create(pods, trial_pod(owner, devices), dry_run=True)
    except Conflict:  # somebody has a pod of this name; this one would have been taken
        return
    except Refused as error:
        if not is_passing(error.message, owner.job.spec):
            raise
        return
    require_kept_sink(owner.job, read_document(pod))
