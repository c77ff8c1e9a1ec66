"""What the jobs of one pass share, as a value: each job sees what the jobs before it have left. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import JobSpec
from dueby_api.subject import ModelSubject
from dueby_operator.model.devices import Devices


@dataclass(frozen=True, kw_only=True)
class Shared:
    """Devices, profiles, and what is being measured."""

    devices: Devices
    profiles: tuple[GPUProfile, ...] = ()
    new_profiles: tuple[GPUProfile, ...] = ()
    """Profiles that were made in this pass and are to be written."""
    measuring: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """By class and subject, the job (namespace/name) for which they are being measured."""

    def with_profile(self, profile: GPUProfile) -> "Shared":
        """Return the same with a profile that the jobs after this one know already."""
        others = tuple(known for known in self.profiles if known.name != profile.name)
        new = tuple(known for known in self.new_profiles if known.name != profile.name)
        return replace(self, profiles=(*others, profile), new_profiles=(*new, profile))

    def without_devices(self, namespace: str, spec: JobSpec, *, device_class: str, count: int) -> "Shared":
        """Return the same without the devices that so many workers of the job take."""
        left = self.devices.without(namespace, spec, device_class=device_class, count=count)
        return replace(self, devices=left)

    def with_measurement(self, device_class: str, subject: ModelSubject, job: str) -> "Shared":
        """Return the same with a class that is being measured for this job."""
        return replace(self, measuring={**self.measuring, (device_class, str(subject)): job})
