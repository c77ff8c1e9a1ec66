"""What the jobs of one pass share, as a value: each job sees what the jobs before it have left. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import JobSpec
from dueby_api.status import ObservedStore
from dueby_api.store_limits import StoreLimits
from dueby_operator.model.devices import Devices
from dueby_operator.model.job_snapshot import Fault
from dueby_operator.profiling.attempts import Attempt
from dueby_operator.profiling.known_profiles import KnownProfiles
from dueby_planner.deadline_classes import NO_LIMITS, Promises
from dueby_planner.model.cost import Tariff
from dueby_planner.schedule.job import JobKey

ByStore = Mapping[tuple[str, str], ObservedStore]
"""By namespace and store, what jobs have seen of it."""


class StoreReaders(NamedTuple):
    """The workers of one job that read of a store."""

    job: JobKey
    workers: int
    requests_per_s: float
    """Of all of them together."""


ReadersByStore = Mapping[tuple[str, str], Sequence[StoreReaders]]
"""By namespace and store."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Devices, profiles, and what is being measured."""

    devices: Devices
    known: KnownProfiles = field(default_factory=KnownProfiles)
    new_profiles: tuple[GPUProfile, ...] = ()
    """Profiles that were made in this pass and are to be written."""
    attempts: Mapping[str, Attempt] | None = None
    """By name, what is measured for everybody; None if the operator has no namespace for it."""
    awaited: frozenset[str] = frozenset()
    """Names of those that a job waits for."""
    sink_holders: Mapping[JobKey, JobKey] = field(default_factory=dict)
    """By a job that has not begun, the job that writes to its sink."""
    unused: Mapping[str, int] = field(default_factory=dict)
    """By device class, devices that are idle after this pass although jobs wait that could use them."""
    promises: Promises = NO_LIMITS
    """What may be promised to jobs."""
    stores: tuple[StoreLimits, ...] = ()
    """What stores serve, to all jobs that read of them."""
    tariff: Tariff | None = None
    """What devices cost; None: nobody has said it."""
    observed_stores: ByStore = field(default_factory=dict)
    """By namespace and store, what jobs have seen of it last."""
    store_readers: ReadersByStore = field(default_factory=dict)
    """By namespace and store, who reads of it now."""
    faults: tuple[Fault, ...] = ()
    """What went wrong with all jobs together, and with none of them alone."""

    @property
    def profiles(self) -> tuple[GPUProfile, ...]:
        """All of them, in the order in which they came."""
        return self.known.all

    def with_profile(self, profile: GPUProfile) -> "Shared":
        """Return the same with a profile that the jobs after this one know already."""
        new = tuple(new_profile for new_profile in self.new_profiles if new_profile.name != profile.name)
        return replace(self, known=self.known.having(profile), new_profiles=(*new, profile))

    def without_devices(self, namespace: str, spec: JobSpec, *, device_class: str, count: int) -> "Shared":
        """Return the same without the devices that so many workers of the job take."""
        devices = self.devices.without(namespace, spec, device_class=device_class, count=count)
        return replace(self, devices=devices)

    def awaiting(self, attempts: Iterable[Attempt]) -> "Shared":
        """Return the same with a job that waits for what is measured for everybody; it may be begun in this pass."""
        new = {attempt.name: attempt for attempt in attempts if attempt.begun_for}
        return replace(self, attempts={**(self.attempts or {}), **new}, awaited=self.awaited.union(new))
