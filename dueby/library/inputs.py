"""What callers give to the library's functions: jobs, paths, and somebody to tell how it goes."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    return read_manifest(os.fspath(job))


def paths_of(paths: AnyPath | Sequence[AnyPath]) -> list[str]:
    """Return the paths, of which there may be one."""
    return [os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]


@contextmanager
def needing(function: str, extra: str) -> Iterator[None]:
    """Raise Invalid if what is imported in the block belongs to an extra that isn't installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise Invalid(function, f"needs {error.name}; install it with: pip install 'dueby[{extra}]'") from error


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
