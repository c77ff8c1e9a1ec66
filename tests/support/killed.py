"""A process that has made something and holds it, until it is killed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def process_that_holds(script: str, place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run the script with the place as its argument; yield its process and the path that it prints once it is made."""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()
