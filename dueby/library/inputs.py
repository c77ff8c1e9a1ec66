"""What callers give to the library's functions: jobs, paths, and somebody to tell how it goes."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from types import MappingProxyType
from typing import TypeAlias

from dueby.inputs.manifests import Manifest, read_manifest
from dueby_api.errors import Invalid
from dueby_api.inference_job import API_VERSION, InferenceJob, parse_job

AnyPath: TypeAlias = str | os.PathLike[str]
AnyJob: TypeAlias = AnyPath | Mapping[str, object] | InferenceJob
"""A manifest's path, its content, or what it was parsed to."""
Tell: TypeAlias = Callable[[str], object]
"""Take a line that the command would show, such as `print`."""

# Of a job's name.
_MAX_NAME = 40
_NOTHING: Mapping[str, object] = MappingProxyType({})
# As for standard input: nobody can edit it while the job runs.
_NO_FILE = "-"


def manifest_of(job: AnyJob, sink: AnyPath | None = None, spec: Mapping[str, object] = _NOTHING) -> Manifest:
    """Return the job and where it was read, or of a `sink` that of the source `job` with these fields of spec.

    Raise Invalid if it is no job, or the file doesn't have one.
    """
    if sink is not None:
        job = _document_of(job, path_of(sink, field="sink"), spec)
    elif spec:
        raise Invalid(next(iter(spec)), "belongs to a job without a manifest, of which a source and a sink are given")
    if isinstance(job, InferenceJob):
        return Manifest(job=job, file=_NO_FILE, origin=_NO_FILE, document=job.document())
    if isinstance(job, Mapping):
        return Manifest(job=parse_job(job), file=_NO_FILE, origin=_NO_FILE, document=job)
    return read_manifest(path_of(job, field="job", kinds="a manifest's path, its content or an InferenceJob"))


def _document_of(source: object, sink: str, spec: Mapping[str, object]) -> dict[str, object]:
    """Return the manifest of a job with this source and sink, which is called like the sink."""
    uri = source if isinstance(source, Mapping) else {"uri": path_of(source, field="source", kinds="a path or a URI")}
    model = spec.get("model")
    named = {"model": {"name": model}} if isinstance(model, str) else {}
    name = re.sub("[^a-z0-9]+", "-", sink.rstrip("/").rpartition("/")[2].lower())[:_MAX_NAME].strip("-")
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceJob",
        "metadata": {"name": name or "job"},
        "spec": {"source": uri, "sink": {"uri": sink}, **spec, **named},
    }


def path_of(path: object, *, field: str, kinds: str = "a path") -> str:
    """Return the path as text. Raise Invalid, which blames `field` and says what it may be, if it isn't a path."""
    # Bytes may be a path for Python, but no URI.
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise Invalid(field, f"must be {kinds}, but is of type {type(path).__name__}")
    return text


def paths_of(paths: AnyPath | Sequence[AnyPath], *, field: str = "profiles") -> list[str]:
    """Return paths, of which there may be one. Raise Invalid, which blames `field`, if one isn't a path."""
    if isinstance(paths, str | bytes | os.PathLike) or not isinstance(paths, Iterable):
        paths = [paths]
    return [path_of(path, field=field, kinds="a path or a sequence of paths") for path in paths]


class Told(StringIO):
    """A file that tells each line that is written to it; without somebody to tell, nobody hears of it."""

    def __init__(self, tell: Tell | None) -> None:
        super().__init__()
        self._tell = tell
        self._begun = ""

    def write(self, text: str, /) -> int:
        """Tell the lines that the text ends."""
        *lines, self._begun = (self._begun + text).split("\n")
        if self._tell:
            for line in lines:
                self._tell(line.rstrip())
        return len(text)
