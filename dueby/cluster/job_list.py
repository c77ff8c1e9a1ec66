"""The InferenceJobs that the API server or kubectl lists. Everything is checked as it is read."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any

from dueby_api.errors import Invalid
from dueby_api.inference_job import DeadlineClass
from dueby_api.schema import LenientSpec, Meta, decode, validate
from dueby_api.status import JobStatus, ProfileStatus
from dueby_api.untrusted import printable
from dueby_pages.cluster_calendar import ClassSize
from dueby_pages.cluster_jobs import ClusterJobs, NamedStatus, cluster_jobs

# What is blamed for an answer that is none.
API_SERVER = "the API server"
# Characters of a list. 5,000 jobs with a status as large as the API server takes have fewer.
MAX_LIST = 2**30


class _List(LenientSpec, frozen=True, kw_only=True):
    """A list of objects."""

    items: tuple[Any, ...]


class _Metadata(LenientSpec, frozen=True, kw_only=True):
    name: Annotated[str, Meta(min_length=1, max_length=253)]
    namespace: Annotated[str, Meta(max_length=253)] = ""
    generation: int = 1


class _Spec(LenientSpec, frozen=True, kw_only=True):
    deadline_class: DeadlineClass = "Soft"


class _ProfileSpec(LenientSpec, frozen=True, kw_only=True):
    device_class: Annotated[str, Meta(min_length=1, max_length=253)]


class _Profile(LenientSpec, frozen=True, kw_only=True):
    spec: _ProfileSpec
    status: ProfileStatus = ProfileStatus()


class _Item(LenientSpec, frozen=True, kw_only=True):
    metadata: _Metadata
    spec: _Spec
    status: JobStatus | None = None


def read_jobs(text: bytes | str, *, origin: str, namespace: str | None) -> ClusterJobs:
    """Return the jobs of a namespace, or of all, in a list as JSON, such as `kubectl get infj -o json` prints.

    Raise Invalid if it is none.
    """
    found: list[NamedStatus] = []
    unreadable: list[tuple[str, str]] = []
    for item in _items(text, origin=origin):
        try:
            job = _read_item(item)
        except Invalid as error:
            unreadable.append((_name_of(item), str(error)))
            continue
        if namespace in (None, job.namespace):
            found.append(job)
    return cluster_jobs(found, unreadable=unreadable)


def read_sizes(text: bytes | str, *, origin: str) -> Mapping[str, ClassSize]:
    """Return how many devices of each class there are, as the GPUProfiles in a list as JSON say.

    Profiles that don't say so, or can't be read, don't count. A class that has none is left out, such as slices of
    another size than the nodes are cut into now: jobs may still hold some. Raise Invalid if it is no list.
    """
    devices: dict[str, int] = {}
    for item in decode(_List, text, origin=origin).items:
        if isinstance(item, Mapping) and item.get("kind") == "GPUProfile":
            with suppress(Invalid):
                profile = validate(_Profile, item)
                name, count = profile.spec.device_class, profile.status.devices
                if count:
                    devices[name] = max(count, devices.get(name, 0))
    return {name: ClassSize(devices=count) for name, count in devices.items()}


def read_job(text: bytes, *, origin: str) -> NamedStatus:
    """Return the job in this JSON. Raise Invalid if it is none."""
    return _named(decode(_Item, text, origin=origin))


def _items(text: bytes | str, *, origin: str) -> Iterator[Any]:
    for item in decode(_List, text, origin=origin).items:
        if not isinstance(item, Mapping) or item.get("kind") == "InferenceJob":
            yield item


def _read_item(item: object) -> NamedStatus:
    if not isinstance(item, Mapping):
        raise Invalid("items", "must hold InferenceJobs only")
    return _named(validate(_Item, item))


def _named(found: _Item) -> NamedStatus:
    return NamedStatus(
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        deadline_class=found.spec.deadline_class,
        status=found.status or JobStatus(),
        generation=found.metadata.generation,
    )


def _name_of(item: object) -> str:
    """Return what to call an item that can't be read."""
    metadata = item.get("metadata") if isinstance(item, Mapping) else None
    words = [metadata.get(field) for field in ("namespace", "name")] if isinstance(metadata, Mapping) else []
    return printable("/".join(word[:253] for word in words if isinstance(word, str))) or "a job without a name"
