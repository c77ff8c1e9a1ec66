"""How much of a node's memory a GPU's worker needs, by what profiles have measured beside the GPU. Pure.

CUDA alone takes gigabytes, and pinned mini-batches count for a container. A pod that asks for less than it uses is put
where too little is left, and is evicted first. Slices of cores have their part of the node anyway.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dueby_api.gpu_profile import GPUProfile
from dueby_api.inference_job import Model
from dueby_api.subject import ModelSubject, class_of, model_subject, profile_subject

# What a worker has beside what a profile measures: files and images that are read ahead, and two more mini-batches.
READ_AHEAD = 1.25
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class HostMemory:
    """What was measured of each class of GPUs."""

    by_class: Mapping[str, Mapping[ModelSubject, int]] = field(default_factory=dict)
    """The largest peak of a process in MiB, over all mini-batch sizes."""

    def needed_by(self, model: Model, device_class: str) -> float:
        """Return the bytes that a worker of the model needs on such a device; 0 if that was not measured.

        The request is the same whichever mini-batch size a plan takes: most of it is CUDA's own.
        """
        measured = self.by_class.get(class_of(device_class))
        if not measured:
            return 0.0
        wanted = model_subject(model)
        peaks = (peak for subject, peak in measured.items() if wanted.admits(subject))
        return READ_AHEAD * MIB * max(peaks, default=0)


UNMEASURED = HostMemory()


def measured_memory(profiles: Iterable[GPUProfile]) -> HostMemory:
    """Return what the profiles say of it."""
    by_class: dict[str, dict[ModelSubject, int]] = defaultdict(dict)
    for profile in profiles:
        peak = max((step.host_memory_mib or 0 for step in profile.spec.steps), default=0)
        if peak:
            subject = profile_subject(profile.spec)
            of_class = by_class[class_of(subject.device_class)]
            of_class[subject.about] = max(peak, of_class.get(subject.about, 0))
    return HostMemory(by_class=dict(by_class))
