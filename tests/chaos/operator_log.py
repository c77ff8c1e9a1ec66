"""Keeps the log of every process of the operator: that of a pod which is deleted goes with it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.lanes import CONTROL_PLANE

# Containers come and go; the log of each is followed to its end, once.
FOLLOW = """
told=
while :; do
  for id in $(crictl ps -q --name '^operator$'); do
    case "$told" in *"$id"*) ;; *) told="$told $id"; crictl logs -f --timestamps "$id" 2>&1 & ;; esac
  done
  sleep 2
done
"""


@contextmanager
def kept_log(path: Path) -> Iterator[Path]:
    """Write the operator's log to a file while this is open."""
    with path.open("wb") as file:
        following = subprocess.Popen(
            ["docker", "exec", CONTROL_PLANE, "sh", "-c", FOLLOW],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            # Ctrl-C is for the benchmark alone, which goes on for a while.
            start_new_session=True,
        )
        try:
            yield path
        finally:
            following.terminate()
            following.wait()
