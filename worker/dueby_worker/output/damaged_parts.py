"""Read a part of a sink, and say which file it is if it is damaged, or holds other rows than it should.

A part is written once and whole, but a power cut or a copy that was broken off can leave less of it. No step can fix
it: whoever reads of it has to delete the file, and then its images have no rows, so that the job, if it is run again,
classifies them. The same goes for a part that a worker of an older job has left, which had outlived an Overwrite.
"""

from collections.abc import Callable
from typing import TypeVar

import pyarrow as pa

from dueby_api.errors import Invalid, first_line
from dueby_worker.output.part_names import part_name
from dueby_worker.output.sink_manifest import SINK_FIELD, SinkManifest
from dueby_worker.storage.store import Store

Content = TypeVar("Content")
# How a file ends, what is read of its end at first, and the longest footer. It is long if it has many labels.
_MAGIC, _END_BYTES, _MAX_FOOTER_BYTES = b"PAR1", 64 * 1024, 256 * 1024**2
# In a cluster the job has failed, and an applied manifest that is as before changes nothing.
_ADVICE = "delete it and run the job again; in a cluster delete the InferenceJob, too, and apply it again"
# What pyarrow raises, and what our own reading of the metadata does when keys or columns aren't there.
_FAULTS = (pa.ArrowException, OSError, ValueError, LookupError)


def read_part(store: Store, name: str, decode: Callable[[bytes], Content]) -> Content:
    """Return what `decode` makes of a part's file. Raise Invalid, with the file, if it is damaged."""
    return _decoded(store, name, store.read(name), decode)


def read_end_of_part(store: Store, name: str, decode: Callable[[bytes], Content]) -> Content:
    """Return what `decode` makes of the end of a part's file, where its whole footer is. Raise as `read_part` does.

    The rows may be gigabytes in all, of which whoever counts them needs nothing.
    """
    end = store.read_end(name, _END_BYTES)
    if end.endswith(_MAGIC) and (needed := int.from_bytes(end[-8:-4], "little") + 8) > len(end):
        end = store.read_end(name, min(needed, _MAX_FOOTER_BYTES))
    return _decoded(store, name, end, decode)


def _decoded(store: Store, name: str, data: bytes, decode: Callable[[bytes], Content]) -> Content:
    try:
        return decode(data)
    except MemoryError:  # pyarrow's is one of its other exceptions, too, and says nothing of the file
        raise
    except _FAULTS as error:
        damage = f"{store.uri_of(name)} is damaged ({first_line(error)})"
        raise Invalid(store.field, f"{damage}; {_ADVICE}") from error


def require_own_rows(store: Store, part: int, *, manifest: SinkManifest, first: int | None, rows: int, by: str) -> None:
    """Raise Invalid, with the file, unless it holds the rows of its part: so many from the first, by this job.

    `by` is the fingerprint of the job that made them.
    """
    begin, last = manifest.grid.indexes(part)
    if by != manifest.fingerprint:
        wrong = "was made by another job"
    elif first is None or (first, first + rows - 1) != (begin, last):
        images = f"{first} to {first + rows - 1}" if first is not None else "none"
        wrong = f"covers the images {images}, not {begin} to {last}"
    else:
        return
    name = part_name(manifest.grid, part)
    raise Invalid(SINK_FIELD, f"{store.uri}/{name} {wrong}; delete that file and run this job again")
