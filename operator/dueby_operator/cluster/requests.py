"""What a worker of a job asks the cluster for besides its device, and the most that it may use. Pure.

Without a limit of memory one image, or one file of weights, could take a whole node's, and the kernel would then end
whom it likes. So there is always one: as many times the request as the settings say, unless the job names its own.
"""

import math
from collections.abc import Mapping

from dueby_api.inference_job import JobSpec
from dueby_api.pod_fields import WorkerResources
from dueby_api.quantities import LARGEST, Amount, quantity
from dueby_api.schema import validate
from dueby_operator.cluster.nodes import CPU_CLASS
from dueby_operator.cluster.quantities import quantities
from dueby_operator.objects.nodes import Toleration
from dueby_operator.settings import OperatorSettings

# A pod leaves a node that Kubernetes has found lost after this long, instead of 300 s. The operator has long had others
# do its work then. Nodes that live count as lost for up to 15 s after an outage of the API server: they report every
# 10 s, and Kubernetes looks every 5 s.
NODE_PATIENCE_S = 20
TOLERATIONS: tuple[dict[str, str | int], ...] = (
    *(
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": NODE_PATIENCE_S}
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    ),
    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
)
# Of these a container may have more than it asked for; of a device exactly so many.
_SHARED = ("cpu", "memory")


def cpus_of(device_class: str, settings: OperatorSettings) -> int:
    """Return the cores of a worker on such a device: a slice's own, or what a GPU's worker gets."""
    cores = CPU_CLASS.match(device_class)
    return int(cores[1]) if cores else settings.gpu_worker_cpus


def own_cores(spec: JobSpec) -> int | None:
    """Return the whole cores that the job itself says its workers have, at least one; None if it says nothing."""
    resources = spec.worker.resources or WorkerResources()
    amounts = [amounts["cpu"] for amounts in (resources.requests, resources.limits) if "cpu" in amounts]
    return max(1, math.floor(min(map(quantity, amounts)))) if amounts else None


def worker_requests(
    spec: JobSpec, settings: OperatorSettings, device_class: str, *, memory: str | None = None
) -> dict[str, float]:
    """Return what a worker on such a device asks for besides the device, by resource; `pods` is 1.

    `memory` is what it asks for if the job doesn't say; None: what the settings say.
    """
    usual: dict[str, Amount] = {
        "cpu": cpus_of(device_class, settings),
        "memory": memory or settings.worker_memory,
    }
    resources = container_resources(spec.worker.resources, settings, requests=usual)
    limits = {f"limits.{name}": value for name, value in quantities(resources.limits).items()}
    return {**quantities(resources.requests), **limits, "pods": 1.0}


def container_resources(
    of_job: WorkerResources | None,
    settings: OperatorSettings,
    *,
    requests: Mapping[str, Amount],
    limits: Mapping[str, Amount] | None = None,
) -> WorkerResources:
    """Return what a container asks for and may use: the usual amounts, and on top what the job says itself.

    As in Kubernetes, a request follows a limit that is below it. A usual limit follows a request that is above it.
    """
    of_job = of_job or WorkerResources()
    usual = {name: _least(amount, of_job.limits.get(name)) for name, amount in requests.items()}
    requested = {**usual, **of_job.requests}
    # Of less than the usual request, such as 0, the limit would be too little to start with, or none.
    memory = max(quantity(requested["memory"]), quantity(requests["memory"])) * settings.memory_limit_factor
    bounds = {**(limits or {}), "memory": f"{math.ceil(min(memory, LARGEST / 2) / 2**20)}Mi"}
    raised = {name: _most(bound, requested.get(name)) if name in _SHARED else bound for name, bound in bounds.items()}
    return WorkerResources(requests=requested, limits={**raised, **of_job.limits})


def tolerations_of(spec: JobSpec) -> list[Toleration]:
    """Return the taints that the job's workers tolerate."""
    documents = [*TOLERATIONS, *(toleration.document() for toleration in spec.worker.tolerations)]
    return [validate(Toleration, document) for document in documents]


def _least(amount: Amount, other: Amount | None) -> Amount:
    return amount if other is None or quantity(amount) <= quantity(other) else other


def _most(amount: Amount, other: Amount | None) -> Amount:
    return amount if other is None or quantity(amount) >= quantity(other) else other
