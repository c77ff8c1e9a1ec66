"""What a worker of a job asks the cluster for besides its device. Pure."""

from dueby_api.inference_job import JobSpec
from dueby_api.schema import validate
from dueby_operator.cluster.nodes import CPU_CLASS
from dueby_operator.cluster.quantities import quantities
from dueby_operator.objects.nodes import Toleration
from dueby_operator.settings import OperatorSettings

# A pod leaves a node that doesn't answer after this long, instead of Kubernetes' 300 s.
NODE_PATIENCE_S = 5
TOLERATIONS: tuple[dict[str, str | int], ...] = (
    *(
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": NODE_PATIENCE_S}
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    ),
    {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
)


def cpus_of(device_class: str, settings: OperatorSettings) -> int:
    """Return the cores of a worker on such a device: a slice's own, or what a GPU's worker gets."""
    cores = CPU_CLASS.match(device_class)
    return int(cores[1]) if cores else settings.gpu_worker_cpus


def worker_requests(spec: JobSpec, settings: OperatorSettings, device_class: str) -> dict[str, float]:
    """Return what a worker on such a device asks for besides the device, by resource; `pods` is 1."""
    own = spec.worker.resources.requests if spec.worker.resources else {}
    asked = {"cpu": cpus_of(device_class, settings), "memory": settings.worker_memory, **own}
    return {**quantities(asked), "pods": 1.0}


def tolerations_of(spec: JobSpec) -> list[Toleration]:
    """Return the taints that the job's workers bear."""
    documents = [*TOLERATIONS, *(toleration.document() for toleration in spec.worker.tolerations)]
    return [validate(Toleration, document) for document in documents]
