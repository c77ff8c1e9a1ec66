"""InferenceJobs as the API server stores them: who they are, and the text of what they want and are.

What they want is a tenant's, so it stays text until it is known how long it is, and how many objects it would make.
"""

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import ProfileMetadata, ProfileSpec
from dueby_api.schema import LenientSpec, Raw, decode, field
from dueby_api.units import parse_duration_us
from dueby_operator.objects.meta import Identity

# An object of Python's, such as a text of a few letters in a list or a mapping.
_OBJECT_BYTES = 64
# What is made of the shortest job.
_JOB_BYTES = 4096
NOTHING = Raw(b"{}")


class _HasPhase(LenientSpec, frozen=True, kw_only=True):
    phase: str = ""


class _HasTtl(LenientSpec, frozen=True, kw_only=True):
    ttl_after_finished: str | None = None


class _Labels(LenientSpec, frozen=True, kw_only=True):
    restore: str | None = field(default=None, name="velero.io/restore-name")
    """What Velero puts on each object that it restores."""


class JobIdentity(Identity, frozen=True, kw_only=True):
    """Name and age of an InferenceJob, and whether it comes from a backup."""

    labels: _Labels = _Labels()

    @property
    def is_restored(self) -> bool:
        """Whether it comes from a backup, without the uid and the status that it had."""
        return self.labels.restore is not None


class StoredJob(LenientSpec, frozen=True, kw_only=True):
    """An InferenceJob."""

    api_version: str = ""
    kind: str = ""
    metadata: JobIdentity = JobIdentity()
    spec: Raw = NOTHING
    status: Raw = NOTHING

    @property
    def key(self) -> tuple[str, str]:
        return self.metadata.namespace, self.metadata.name

    @property
    def is_over(self) -> bool:
        """Whether its status says so."""
        try:
            return decode(_HasPhase, self.status).phase in ("Succeeded", "Failed")
        except Invalid:
            return False

    @property
    def time_to_live_us(self) -> int | None:
        """How long it is kept once it is over; None if it doesn't say so, or nothing that can be read."""
        try:
            duration = decode(_HasTtl, self.spec).ttl_after_finished
            return None if duration is None else parse_duration_us(duration)
        except (Invalid, ValueError):
            return None

    @property
    def memory(self) -> int:
        """At most how many bytes the objects take that it is read into."""
        return _JOB_BYTES + _memory_of(self.status) + _memory_of(self.spec)

    def copied(self) -> "StoredJob":
        """Return the same without the page that it was read from."""
        return self.replace(spec=self.spec.copy(), status=self.status.copy())


def length_of(text: Raw) -> int:
    """Return how many bytes of JSON it has."""
    return memoryview(text).nbytes


def _memory_of(text: Raw) -> int:
    """Return at most how many bytes the objects take that are made of the JSON, without making them."""
    whole = bytes(text)
    return len(whole) + _OBJECT_BYTES * (1 + whole.count(b",") + whole.count(b"{") + whole.count(b"["))


class StoredProfile(LenientSpec, frozen=True, kw_only=True):
    """A GPUProfile, with a status that another version may have written."""

    metadata: ProfileMetadata
    spec: ProfileSpec
    status: Raw = NOTHING
