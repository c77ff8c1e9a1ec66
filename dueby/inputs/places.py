"""Where a job reads and writes, on this machine: what its URIs can't mean, before anything is measured or written.

The texts are compared where the job is parsed. Here relative paths have a working directory, and links lead somewhere.
"""

import os
from collections.abc import Sequence

from dueby_api.errors import Invalid
from dueby_api.inference_job import JobSpec
from dueby_api.places import require_apart
from dueby_worker.storage.uris import canonical_uri, file_path, file_uri, scheme_of

_SINK = "spec.sink.uri"


def require_places(spec: JobSpec) -> None:
    """Raise Invalid if source or sink are at no place that there can be, or one is in the other."""
    source, manifest = spec.source.images_uri, spec.source.manifest
    sink = _real(_SINK, spec.sink.uri)
    try:
        require_apart(
            _SINK,
            sink,
            source=_real(spec.source.images_field, source) if source else None,
            manifest=_real("spec.source.manifest.uri", manifest.uri) if manifest else None,
        )
    except ValueError as error:
        raise Invalid(_SINK, str(error).removeprefix(f"{_SINK}: ")) from None


def require_sinks_apart(specs: Sequence[JobSpec]) -> None:
    """Raise Invalid if two jobs write to the same place."""
    seen: set[str] = set()
    for spec in specs:
        sink = sink_uri(spec)
        if sink in seen:
            raise Invalid(_SINK, f"two jobs write to {spec.sink.uri}; give each a place of its own")
        seen.add(sink)


def sink_uri(spec: JobSpec) -> str:
    """Return where the job writes, the same for every spelling of a place."""
    return _real(_SINK, spec.sink.uri).rstrip("/")


def _real(field: str, uri: str) -> str:
    """Return the URI as an absolute one, without links."""
    try:
        canonical = canonical_uri(uri)
    except ValueError as error:
        raise Invalid(field, str(error)) from None
    return file_uri(os.path.realpath(file_path(canonical))) if scheme_of(canonical) == "file" else canonical
