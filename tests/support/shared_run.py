"""What the processes of one run of pytest share: a folder, and locks. With xdist they are a controller and its workers.

The controller is the first to import this, and its workers inherit the folder's name in their environment. Where the
variable DUEBY_TESTS_RUN names a folder already, who named it removes it.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VARIABLE = "DUEBY_TESTS_RUN"
IS_FIRST = _VARIABLE not in os.environ
RUN = Path(os.environ.setdefault(_VARIABLE, tempfile.mkdtemp(prefix="dueby-tests-") if IS_FIRST else ""))


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time into the block."""
    with (RUN / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
