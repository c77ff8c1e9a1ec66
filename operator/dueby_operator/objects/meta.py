"""What all objects have: a name, labels, an age and owners; and the conditions of most."""

from dueby_api.gpu_profile import OwnerReference
from dueby_api.schema import LenientSpec, field
from dueby_operator.objects.parse import micros_of


class ObjectMeta(LenientSpec, frozen=True, kw_only=True):
    """Name, labels and age of an object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    generation: int = 1
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    owner_references: tuple[OwnerReference, ...] = ()

    @property
    def created_us(self) -> int | None:
        """When it was made, in microseconds since 1970; None before the API server has said."""
        return micros_of(self.creation_timestamp)

    @property
    def is_deleting(self) -> bool:
        """Whether it is on its way out."""
        return self.deletion_timestamp is not None

    def is_owned_by(self, uid: str) -> bool:
        """Return whether it goes with the object of this uid."""
        return any(owner.uid == uid for owner in self.owner_references)


class StatusCondition(LenientSpec, frozen=True, kw_only=True):
    """A condition of a pod, a node or a Job."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
