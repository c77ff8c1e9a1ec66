"""What all objects have: a name, labels, an age and owners; and the conditions of most.

Whoever may make an object may give it 256 KiB of annotations. Where they aren't needed, an Identity is read.
"""

from collections.abc import Mapping
from itertools import islice

from dueby_api.gpu_profile import OwnerReference
from dueby_api.schema import LenientSpec, field
from dueby_operator.objects.parse import micros_of

# How labels and annotations begin that are kept of Jobs and pods: the operator's, and those of who starts the pods.
OWN = ("dueby.dev/", "batch.kubernetes.io/", "kueue.x-k8s.io/", "app.kubernetes.io/")
# The longest annotation of the operator's is what a node's pod measures; one object has ten such words, and one owner.
MAX_WORDS, MAX_OWN, MAX_OWNERS = 2**14, 32, 8


class Identity(LenientSpec, frozen=True, kw_only=True):
    """Name and age of an object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 1
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None

    @property
    def created_us(self) -> int | None:
        """When it was made, in microseconds since 1970; None before the API server has said."""
        return micros_of(self.creation_timestamp)

    @property
    def is_deleting(self) -> bool:
        return self.deletion_timestamp is not None


class ObjectMeta(Identity, frozen=True, kw_only=True):
    """Name, age, labels and owners of an object."""

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()

    def is_owned_by(self, uid: str) -> bool:
        return any(owner.uid == uid for owner in self.owner_references)


def own_meta(metadata: ObjectMeta) -> ObjectMeta:
    """Return of the metadata what is the operator's own, or of those that it works with: the rest may be anything."""
    return metadata.replace(
        labels=_own(metadata.labels),
        annotations=_own(metadata.annotations),
        owner_references=metadata.owner_references[:MAX_OWNERS],
    )


def _own(words: Mapping[str, str]) -> dict[str, str]:
    ours = ((name, text) for name, text in words.items() if name.startswith(OWN) and len(text) <= MAX_WORDS)
    return dict(islice(ours, MAX_OWN))


class HasIdentity(LenientSpec, frozen=True, kw_only=True):
    """An object of which no more is needed."""

    metadata: Identity = field(default_factory=Identity)


class HasMeta(LenientSpec, frozen=True, kw_only=True):
    """An object of which no more is needed."""

    metadata: ObjectMeta = field(default_factory=ObjectMeta)


class KubeObject(LenientSpec, frozen=True, kw_only=True):
    """An object of Kubernetes; each kind adds the fields that are read of it."""

    metadata: ObjectMeta

    @property
    def name(self) -> str:
        """Its name."""
        return self.metadata.name


class StatusCondition(LenientSpec, frozen=True, kw_only=True):
    """A condition of a pod, a node or a Job."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
