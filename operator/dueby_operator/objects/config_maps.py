"""ConfigMaps: what the pods of a Job are told."""

from dueby_api.schema import LenientSpec, field
from dueby_operator.objects.meta import ObjectMeta


class ConfigMapData(LenientSpec, frozen=True, kw_only=True):
    """What is read of it."""

    plan: str | None = field(default=None, name="plan.json")
    """The plan of a revision."""


class ConfigMap(LenientSpec, frozen=True, kw_only=True):
    """A ConfigMap."""

    metadata: ObjectMeta = field(default_factory=ObjectMeta)
    data: ConfigMapData | None = None

    @property
    def plan(self) -> str | None:
        """The plan of a revision; None if it holds none."""
        return self.data.plan if self.data else None
