"""The chain of policies: what each is given, what it returns, and how one follows the other. Pure.

A policy is a function from PolicyInput to Outcome. It sees the job as the policies before it have left it, and it may
end the chain. What it raises as Invalid becomes a condition of this job and ends the chain, too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from dueby_api.conditions import ConditionType, Reason
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import InferenceJob, JobSpec
from dueby_api.status import JobStatus
from dueby_api.subject import profile_subject
from dueby_operator.cluster.nodes import Node
from dueby_operator.control.conditions import is_over
from dueby_operator.control.shared import Shared
from dueby_operator.model.actions import Action
from dueby_operator.model.conditions import NewCondition, merge_conditions
from dueby_operator.model.job_snapshot import JobMemory, JobSnapshot, TurnedAway, is_full, part_size_of
from dueby_operator.profiling.on_demand import own_profiles
from dueby_planner.profiles.class_profiles import up_to
from dueby_planner.schedule.job import ScheduledJob
from dueby_planner.schedule.request import WorkDecision


@dataclass(frozen=True, kw_only=True)
class PolicyInput:
    """One job as a policy sees it."""

    job: JobSnapshot
    """As it was seen."""
    manifest: InferenceJob
    """What is asked for, with the slow nodes' own classes of those that it names."""
    deadline_us: int
    """T, in microseconds since 1970."""
    now_us: int
    nodes: Mapping[str, Node] = field(default_factory=dict)
    """The cluster's nodes by name, for what a node says of a measurement."""
    worker_image: str = ""
    """The image of workers whose job names none."""
    has_turn: bool = True
    """Whether it is one of the jobs of its namespace that are planned now."""
    status: JobStatus
    """As the policies before this one have left it."""
    memory: JobMemory
    """As the policies before this one have left it."""
    shared: Shared
    """As the jobs and policies before this one have left it."""
    predicted: tuple[GPUProfile, ...] = ()
    """What other image sizes predict for the job, as far as it needs that."""
    actions: tuple[Action, ...] = ()
    """What the policies before this one do."""
    scheduled: ScheduledJob | None = None
    """What the workers are decided on; None before the job is indexed and profiled."""
    work: WorkDecision | None = None
    """What was decided about the workers; None before."""

    @property
    def spec(self) -> JobSpec:
        """What is asked for."""
        return self.manifest.spec

    @property
    def is_full(self) -> bool:
        """Whether every part is in the sink, so that only its rows are left to be counted."""
        return is_full(self.status, self.job.parts_there)

    @property
    def part_size(self) -> int | None:
        """Images of a part, by the plan that was started, or by a sink that was begun before; None before both."""
        return part_size_of(self.status)

    @property
    def has_workers(self) -> bool:
        """Whether a worker still does something, or will."""
        return self.job.has_workers

    @property
    def has_started(self) -> bool:
        """Whether it ever had workers, whether or not their Jobs are still there."""
        return self.status.workers_seen is not None

    @property
    def is_measured_for_everybody(self) -> bool:
        """Whether what is measured for the job is measured where no tenant can touch it, and so for all jobs."""
        return self.shared.attempts is not None and not self.spec.is_measured_alone

    @property
    def profiles(self) -> tuple[GPUProfile, ...]:
        """What the job is planned on: what was measured for it alone, beside that what everybody uses of its model, and
        what is predicted for it.
        """
        shared = (*self.shared.known.of(self.spec.model), *self.predicted)
        if self.is_measured_for_everybody:
            return self._within_memory(shared)
        job_profiles = own_profiles(self.status.own_profiles)
        subjects = {profile_subject(profile.spec) for profile in job_profiles}
        others = (profile for profile in shared if profile_subject(profile.spec) not in subjects)
        return self._within_memory((*job_profiles, *others))

    def _within_memory(self, profiles: tuple[GPUProfile, ...]) -> tuple[GPUProfile, ...]:
        """Return the profiles up to the mini-batches that workers' memory has room for, as far as that is known."""
        limits = self.status.mini_batch_limits
        if not limits:
            return profiles
        within = (up_to(profile, limits.get(profile.spec.device_class)) for profile in profiles)
        return tuple(profile for profile in within if profile)

    def after(self, outcome: "Outcome") -> "PolicyInput":
        """Return what the next policy sees."""
        status = outcome.status or self.status
        conditions = merge_conditions(
            status.conditions, outcome.conditions, generation=self.job.generation, now_us=self.now_us
        )
        return replace(
            self,
            status=status.replace(conditions=conditions),
            memory=outcome.memory or self.memory,
            shared=outcome.shared or self.shared,
            predicted=outcome.predicted or self.predicted,
            actions=(*self.actions, *outcome.actions),
            scheduled=outcome.scheduled or self.scheduled,
            work=outcome.work or self.work,
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a policy has found. Fields that are None leave things as they are."""

    conditions: tuple[NewCondition, ...] = ()
    actions: tuple[Action, ...] = ()
    status: JobStatus | None = None
    """The status with other fields changed than its conditions."""
    memory: JobMemory | None = None
    shared: Shared | None = None
    predicted: tuple[GPUProfile, ...] = ()
    scheduled: ScheduledJob | None = None
    work: WorkDecision | None = None
    ends: bool = False
    """Whether the policies after this one have nothing to do."""


Policy = Callable[[PolicyInput], Outcome]


def run_chain(inputs: PolicyInput, policies: tuple[Policy, ...]) -> tuple[PolicyInput, bool]:
    """Ask the policies in their order; return the job as they have left it, and whether one of them has ended it."""
    for policy in policies:
        try:
            outcome = policy(inputs)
        except Invalid as error:
            return inputs.after(refusal(error)), True
        inputs = inputs.after(outcome)
        if outcome.ends or is_over(inputs.status):
            return inputs, True
    return inputs, False


def refusal(error: Invalid) -> Outcome:
    """Return what is wrong: with the profiles or the namespace, and then the job waits, or with the job."""
    if isinstance(error, TurnedAway):
        return Outcome(conditions=(NewCondition(reason=Reason.TOO_MANY_JOBS, message=str(error)),), ends=True)
    is_about_profiles = error.field in ("profiles", "pool")
    reason = Reason.PROFILES_UNUSABLE if is_about_profiles else Reason.INVALID_JOB
    return Outcome(conditions=(NewCondition(reason=reason, message=str(error)),), ends=True)


def failed(reason: Reason, message: str, *others: NewCondition) -> Outcome:
    """Return an outcome that ends the job."""
    if reason.type is not ConditionType.FAILED:
        raise ValueError(f"{reason} does not end a job")
    return Outcome(conditions=(*others, NewCondition(reason=reason, message=message)), ends=True)
