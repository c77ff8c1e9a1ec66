"""Read a part of a sink, and say which file it is if it is damaged.

A part is written once and whole, but a power cut or a copy that was broken off can leave less of it. No step can mend
it: whoever reads of it has to delete the file, and then its images have no rows, so that the job, if it is run again,
classifies them.
"""

from collections.abc import Callable
from typing import TypeVar

import pyarrow as pa

from dueby_api.errors import Invalid, first_line
from dueby_worker.storage.store import Store

Content = TypeVar("Content")
# In a cluster the job has failed, and an applied manifest that is as before changes nothing.
_ADVICE = "delete it and run the job again; in a cluster delete the InferenceJob, too, and apply it again"
# What pyarrow raises, and what our own reading of the metadata does when keys or columns aren't there.
_FAULTS = (pa.ArrowException, OSError, ValueError, LookupError)


def read_part(store: Store, name: str, decode: Callable[[bytes], Content]) -> Content:
    """Return what `decode` makes of a part's file. Raise Invalid, with the file, if it is damaged."""
    data = store.read(name)
    try:
        return decode(data)
    except MemoryError:  # pyarrow's is one of its other exceptions, too, and says nothing of the file
        raise
    except _FAULTS as error:
        damage = f"{store.uri_of(name)} is damaged ({first_line(error)})"
        raise Invalid(store.field, f"{damage}; {_ADVICE}") from error
