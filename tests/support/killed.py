"""Processes that end with the block that started them, whatever happens in it."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def killed_with_block(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start the command with these options of Popen; kill it with the block, if it hasn't ended."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def process_that_holds(script: str, place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run the script with the place as its argument; yield its process and the path that it prints once it is made."""
    command = [sys.executable, "-c", script, str(place)]
    with killed_with_block(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
