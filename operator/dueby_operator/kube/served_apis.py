"""What the API server serves, read once a minute: is our resource definition as new as this operator?

An API server drops what its definition doesn't have. So with an older one than this operator's, what is written into
a status is lost at once: workers that were seen, windows that were promised. Nothing is decided on then.

The API server publishes the schema that it prunes to, whatever order or defaults it has given it, and a hash for each
API group; the schema is read again only when its hash changes. It isn't compared by a digest, since a newer definition
is no harm (read_job.py): what counts is that it has each field and each value of this operator's.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from dueby_api.errors import Transient
from dueby_api.inference_job import API_VERSION
from dueby_operator.kube.client import Kube, Missing, Refused
from dueby_operator.kube.documents import Document
from dueby_operator.kube.server_clock import steady_clock_s
from dueby_operator.resources.crds import job_crd, profile_crd

INDEX_PATH = "/openapi/v3"
# An administrator who upgrades the definitions waits so long for the operator to go on.
CHECK_S, RECHECK_S = 60.0, 10.0
# Of the fields that an old definition lacks, so many are named.
MAX_NAMED = 3
GROUP_OF_JOBS, GROUP_OF_BATCH = f"apis/{API_VERSION}", "apis/batch/v1"
log = logging.getLogger(__name__)


class OlderDefinition(Transient):
    """The cluster's resource definition lacks what this operator writes."""


class ServedAPIs:
    """What one API server serves."""

    def __init__(
        self,
        kube: Kube,
        *,
        show: Callable[[bool], None] = lambda is_current: None,
        clock_s: Callable[[], float] = steady_clock_s,
    ) -> None:
        """`show` is told after each look whether the definitions are as new as this operator."""
        self._kube = kube
        self._show = show
        self._clock_s = clock_s
        self._due_s = float("-inf")
        self._hashes: Mapping[str, str] = {}
        """By API group and version."""
        self._compared = ""
        """The hash of the definitions that were compared last."""
        self._lacks: tuple[str, ...] = ()
        self._refusal = ""
        self._unknown: dict[str, str] = {}
        """Fields of Jobs that the API server didn't know, each with the hash of the Jobs' group at that time."""

    def hash_of(self, group: str) -> str:
        """Return what changes when the API server serves another version of the group; empty if that isn't known."""
        return self._hashes.get(group, "")

    def knows(self, field: str) -> bool:
        """Return whether the API server may know this field of a Job: it hasn't said that this version doesn't."""
        return self._unknown.get(field) != self.hash_of(GROUP_OF_BATCH)

    def note_unknown(self, field: str) -> None:
        """Note that the API server doesn't know a field of a Job."""
        self._unknown[field] = self.hash_of(GROUP_OF_BATCH)

    async def require_current(self) -> None:
        """Raise OlderDefinition if the cluster's definitions lack a field or a value that this operator writes."""
        if self._clock_s() >= self._due_s:
            await self._look()
            self._due_s = self._clock_s() + (RECHECK_S if self._lacks else CHECK_S)
            self._show(not self._lacks)
        if self._lacks:
            named = ", ".join(self._lacks[:MAX_NAMED])
            more = f" and {len(self._lacks) - MAX_NAMED} more" if len(self._lacks) > MAX_NAMED else ""
            raise OlderDefinition(
                f"the cluster's resource definitions are older than this operator: they lack {named}{more}. Nothing is "
                "decided until they are upgraded: apply the files of crds/ of this release, or upgrade the chart."
            )

    async def _look(self) -> None:
        """Read what is served. Where it may not be read, or isn't published, nothing is known against it."""
        try:
            index = await self._kube.get(INDEX_PATH)
            self._hashes = _hashes_of(index)
            if (served := self.hash_of(GROUP_OF_JOBS)) and served != self._compared:
                schema = await self._kube.get(f"{INDEX_PATH}/{GROUP_OF_JOBS}")
                self._lacks = tuple(sorted(_needed_paths() - _paths_of_openapi(schema)))
                self._compared = served
        except (Refused, Missing) as error:
            if str(error) != self._refusal:
                self._refusal = str(error)
                log.warning("whether the resource definitions are as new as this operator isn't known: %s", error)


def _hashes_of(index: Document) -> dict[str, str]:
    """Return what the addresses of the groups' schemas end with."""
    paths = index.get("paths")
    groups = paths.items() if isinstance(paths, dict) else ()
    return {group: str(at.get("serverRelativeURL", "")) for group, at in groups if isinstance(at, dict)}


@cache
def _needed_paths() -> frozenset[str]:
    """Return what this operator writes. It takes a fifth of a second, once a process and not for each Lease."""
    return frozenset(path for crd in (job_crd(), profile_crd()) for path in _paths_of_crd(crd))


def _paths_of_crd(crd: Document) -> Iterator[str]:
    (version,) = crd["spec"]["versions"]
    yield from _paths(version["schema"]["openAPIV3Schema"], crd["spec"]["names"]["kind"])


def _paths_of_openapi(schema: Document) -> set[str]:
    """Return the paths of the kinds that are documented there, each with the groups that it is of."""
    schemas = (schema.get("components") or {}).get("schemas") or {}
    return {
        path
        for node in schemas.values()
        for kind in node.get("x-kubernetes-group-version-kind", ())
        for path in _paths(node, str(kind.get("kind")))
    }


def _paths(node: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield the path of each field below a node of a schema, and of each value of which a field is one."""
    for name, below in (node.get("properties") or {}).items():
        if (path, name) == (path.partition(".")[0], "metadata"):
            continue
        yield f"{path}.{name}"
        yield from _paths(below, f"{path}.{name}")
    yield from (f"{path}={value}" for value in node.get("enum") or ())
    for inner in ("items", "additionalProperties"):
        if isinstance(below := node.get(inner), dict):
            yield from _paths(below, path)
