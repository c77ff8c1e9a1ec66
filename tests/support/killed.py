"""How tests end processes, whatever happens in the block that started them, and see that none is left."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.run import MAX_WAIT_S


@contextmanager
def killed_with_block(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Start the command with these options of Popen; kill it with the block, if it hasn't ended."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def end_process(process: subprocess.Popen[Any]) -> None:
    """Ask a process to end, and kill it if it doesn't."""
    process.terminate()
    try:
        process.wait(MAX_WAIT_S)
    finally:
        process.kill()


def processes_with(variable: str) -> list[int]:
    """Return the running processes that were started with this variable, directly or not."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and variable.encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:  # gone meanwhile, or someone else's
            continue
    return found


@contextmanager
def process_that_holds(script: str, place: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Run the script with the place as its argument; yield its process and the path that it prints once it is made."""
    command = [sys.executable, "-c", script, str(place)]
    with killed_with_block(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
