"""What callers give to the library's functions: jobs, paths, and somebody to tell how it goes."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from typing import TypeAlias

from dueby.inputs.manifests import Manifest, read_manifest
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob, parse_job

AnyPath: TypeAlias = str | os.PathLike[str]
AnyJob: TypeAlias = AnyPath | Mapping[str, object] | InferenceJob
"""A manifest's path, its content, or what it was parsed to."""
Tell: TypeAlias = Callable[[str], object]
"""Take a line that the command would show, such as `print`."""

# As for standard input: nobody can edit it while the job runs.
_NO_FILE = "-"


def manifest_of(job: AnyJob) -> Manifest:
    """Return the job and where it was read. Raise Invalid if it is no job, or the file doesn't have one."""
    if isinstance(job, InferenceJob):
        return Manifest(job=job, file=_NO_FILE, origin=_NO_FILE, document=job.document())
    if isinstance(job, Mapping):
        return Manifest(job=parse_job(job), file=_NO_FILE, origin=_NO_FILE, document=job)
    return read_manifest(path_of(job, field="job", kinds="a manifest's path, its content or an InferenceJob"))


def path_of(path: AnyPath, *, field: str, kinds: str = "a path") -> str:
    """Return the path as text. Raise Invalid, which blames `field` and says what it may be, if it isn't a path."""
    # Bytes may be a path for Python, but no URI.
    found = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(found, str):
        raise Invalid(field, f"must be {kinds}, but is of type {type(path).__name__}")
    return found


def paths_of(paths: AnyPath | Sequence[AnyPath]) -> list[str]:
    """Return the paths of profiles, of which there may be one. Raise Invalid if one isn't a path."""
    if isinstance(paths, str | bytes | os.PathLike) or not isinstance(paths, Iterable):
        paths = [paths]
    return [path_of(path, field="profiles", kinds="a path or a sequence of paths") for path in paths]


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
