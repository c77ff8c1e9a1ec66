"""Fields of a job's worker pods that are Kubernetes' own, each with a bound, as all that a tenant writes.

The API server drops a field that isn't here, or refuses it, as kubectl asks it to.
"""

from collections.abc import Mapping
from typing import Annotated

from dueby_api.quantities import Amount, require_amount
from dueby_api.schema import Meta, Spec, field
from dueby_api.volumes import FieldOfPod, Name, NamedObject, NeededName, OptionalObject, Path, ResourceOfContainer, Text

# Labels and annotations below it are the operator's own: it finds its pods by them.
OWN_PREFIX = "dueby.dev/"
# Of a variable or an annotation. All of a job's spec may have twice as much.
MAX_VALUE = 2**15
# As container runtimes take an image's name: registry, path in small letters, tag, digest. A kubelet that is given
# another never starts the pod.
_PATH_PART = "[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*"
IMAGE = (
    rf"^(([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]+)?/)?{_PATH_PART}(/{_PATH_PART})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@[A-Za-z][A-Za-z0-9+._-]*:[0-9A-Fa-f]{32,})?$"
)
IMAGE_SENTENCE = "is not the name of an image, such as registry.example.org/team/worker:1.2"
# The device is asked for by its class.
DEVICES = ("nvidia.com/gpu", "nvidia.com/mig-", "amd.com/gpu")
Amounts = Annotated[dict[str, Amount], Meta(max_length=32)]
Labels = Annotated[dict[str, Annotated[str, Meta(max_length=63)]], Meta(max_length=64)]
Annotations = Annotated[dict[str, Annotated[str, Meta(max_length=MAX_VALUE)]], Meta(max_length=64)]


class WorkerResources(Spec, frozen=True, kw_only=True):
    """What a worker asks for and may use, without its device."""

    requests: Amounts = field(default_factory=dict)
    """Quantities that are asked for, by resource: cpu, memory. Write one with a fraction as text: "0.5" or 500m."""
    limits: Amounts = field(default_factory=dict)
    """Quantities that may be used, by resource, written in the same way."""

    def __post_init__(self) -> None:
        for part, amounts in (("requests", self.requests), ("limits", self.limits)):
            for name, amount in amounts.items():
                require_amount(f"{part}[{name[:63]}]", amount)


class WorkerToleration(Spec, frozen=True, kw_only=True):
    """A taint that the pods tolerate."""

    key: Text | None = None
    """The taint's key; absent: any."""
    operator: Annotated[str, Meta(max_length=16)] | None = None
    """Exists or Equal, which is the default."""
    value: Text | None = None
    """The taint's value, for Equal."""
    effect: Annotated[str, Meta(max_length=16)] | None = None
    """NoSchedule, PreferNoSchedule or NoExecute; absent: any."""
    toleration_seconds: Annotated[int, Meta(ge=-(2**31), le=2**31)] | None = None
    """How long a taint with NoExecute is tolerated; absent: for ever."""


class KeyOfObject(OptionalObject, frozen=True, kw_only=True):
    """A key of a ConfigMap or a Secret."""

    key: NeededName
    """The key."""


class VariableSource(Spec, frozen=True, kw_only=True):
    """What a variable's value is taken from. Exactly one of these."""

    secret_key_ref: KeyOfObject | None = None
    """A key of a Secret."""
    config_map_key_ref: KeyOfObject | None = None
    """A key of a ConfigMap."""
    field_ref: FieldOfPod | None = None
    """A field of the pod."""
    resource_field_ref: ResourceOfContainer | None = None
    """What a container asks for or may use."""


class EnvVariable(NamedObject, frozen=True, kw_only=True):
    """An environment variable."""

    value: Annotated[str, Meta(max_length=MAX_VALUE)] | None = None
    """Its value."""
    value_from: VariableSource | None = None
    """What its value is taken from."""

    def __post_init__(self) -> None:
        # Of what Kubernetes refuses itself, this is what no process of any system can be started with.
        if "=" in self.name or "\0" in self.name:
            raise ValueError(f"name: {self.name[:63]!r} can't be a variable's name; leave out = and NUL")
        if "\0" in (self.value or ""):
            raise ValueError("value: has a NUL character, which no variable can have")


class EnvSource(Spec, frozen=True, kw_only=True):
    """A source of environment variables."""

    prefix: Name | None = None
    """What the variables' names begin with."""
    config_map_ref: OptionalObject | None = None
    """A ConfigMap."""
    secret_ref: OptionalObject | None = None
    """A Secret."""


class VolumeMount(NamedObject, frozen=True, kw_only=True):
    """Where a volume is mounted."""

    mount_path: Annotated[str, Meta(min_length=1, max_length=4096)]
    """Where in the container."""
    sub_path: Path | None = None
    """What of the volume; absent: all of it."""
    sub_path_expr: Path | None = None
    """The same, with variables in it."""
    read_only: bool | None = None
    """Whether nothing may be written."""
    recursive_read_only: Name | None = None
    """Whether this holds of what is mounted below it, too."""
    mount_propagation: Name | None = None
    """Whether what is mounted later is seen."""


def require_no_device(name: str, resources: WorkerResources | None) -> None:
    """Raise ValueError, with the field, if the resources name a device, which each worker has one of."""
    for part, amounts in (("requests", resources.requests), ("limits", resources.limits)) if resources else ():
        if device := next((resource for resource in amounts if resource.startswith(DEVICES)), None):
            raise ValueError(
                f"{name}.{part}: leave out {device[:63]}; each worker has one device, of a class that the plan chooses "
                "from gpus.classes, and gpus.max says how many there may be"
            )


def require_foreign(name: str, entries: Mapping[str, str] | None) -> None:
    """Raise ValueError, with the field, if labels or annotations are the operator's own."""
    for key in entries or ():
        if key.startswith(OWN_PREFIX):
            raise ValueError(f"{name}: {key[:80]} is the operator's own; choose another prefix than {OWN_PREFIX}")
