"""Jobs and CronJobs, and the ConfigMaps that say what the pods of a Job are to do."""

from typing import Any

from dueby_api.schema import LenientSpec, field
from dueby_operator.objects.meta import KubeObject, ObjectMeta, StatusCondition, own_meta
from dueby_operator.objects.parse import micros_of
from dueby_operator.objects.pods import PodSpec, own_spec

# Kubernetes' own controller of Jobs.
CONTROLLER = "kubernetes.io/job-controller"
# What a Job says at its end, in the order of time. The last of each comes once all of its pods have gone, and a pod on
# a node that is lost doesn't go as long as the node isn't deleted.
_SUCCESS, _FAILURE = ("SuccessCriteriaMet", "Complete"), ("FailureTarget", "Failed")


class PodTemplate(LenientSpec, frozen=True, kw_only=True):
    """What a Job's pods are made of."""

    spec: PodSpec = field(default_factory=PodSpec)


class BatchJobSpec(LenientSpec, frozen=True, kw_only=True):
    """What a Job is to do."""

    completions: int = 0
    suspend: bool = False
    managed_by: str = CONTROLLER
    """The controller that starts its pods."""
    template: PodTemplate = field(default_factory=PodTemplate)


class BatchJobStatus(LenientSpec, frozen=True, kw_only=True):
    """How far a Job is."""

    conditions: tuple[StatusCondition, ...] = ()
    completed_indexes: str = ""
    failed_indexes: str = ""
    active: int = 0
    """Pods that are there and not over."""
    failed: int = 0
    """Pods that have failed."""
    start_time: str | None = None
    completion_time: str | None = None


class BatchJob(KubeObject, frozen=True, kw_only=True):
    """A Job of Kubernetes."""

    spec: BatchJobSpec = field(default_factory=BatchJobSpec)
    status: BatchJobStatus = field(default_factory=BatchJobStatus)

    def own_part(self) -> "BatchJob":
        template = self.spec.template.replace(spec=own_spec(self.spec.template.spec))
        return self.replace(metadata=own_meta(self.metadata), spec=self.spec.replace(template=template))

    @property
    def is_complete(self) -> bool:
        """Whether it has succeeded, though pods that it no longer needs may still be there."""
        return self._said(_SUCCESS) is not None

    @property
    def is_failed(self) -> bool:
        """Whether it was given up, though its pods may still be there."""
        return self._said(_FAILURE) is not None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self.is_complete or self.is_failed

    @property
    def waits_to_retry(self) -> bool:
        """Whether a pod of it has failed, and there is none until the pause before the next is over."""
        return self.status.failed > 0 and not self.status.active and not self.is_over

    @property
    def completed_us(self) -> int | None:
        """When it succeeded, in microseconds since 1970; None if it has not, or if nobody says when."""
        if (said := self._said(_SUCCESS)) is None:
            return None
        return micros_of(said.last_transition_time) or micros_of(self.status.completion_time)

    def _said(self, types: tuple[str, ...]) -> StatusCondition | None:
        """Return the first of these conditions that is true."""
        true = {condition.type: condition for condition in self.status.conditions if condition.status == "True"}
        return next((true[kind] for kind in types if kind in true), None)


class TemplateMeta(LenientSpec, frozen=True, kw_only=True):
    """Labels and annotations of a template."""

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


class JobTemplate(LenientSpec, frozen=True, kw_only=True):
    """What a CronJob makes Jobs of. The spec is copied into a Job as it is, so it stays a document."""

    metadata: TemplateMeta = field(default_factory=TemplateMeta)
    spec: dict[str, Any] = field(default_factory=dict)


class CronJobSpec(LenientSpec, frozen=True, kw_only=True):
    """When a CronJob makes which Jobs."""

    schedule: str = ""
    time_zone: str = ""
    suspend: bool = False
    job_template: JobTemplate = field(default_factory=JobTemplate)


class CronJob(KubeObject, frozen=True, kw_only=True):
    """A CronJob of Kubernetes."""

    spec: CronJobSpec = field(default_factory=CronJobSpec)


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
