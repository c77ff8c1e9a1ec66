"""The system, Python, and what a process may use here."""

import platform
import sys
from collections.abc import Iterator

from dueby.doctor.finding import Asked, Finding
from dueby.inputs.needs import require_linux
from dueby_api.errors import Invalid


def check_machine(_: Asked) -> Iterator[Finding]:
    """Yield whether jobs can run on this system, with its cores and memory."""
    python = f"Python {platform.python_version()}"
    try:
        require_linux("run and profile")
    except Invalid as error:
        yield Finding(subject="machine", verdict="absent", sentence=f"{python}; {error}")
        return
    from dueby_profiler.machine.limits import read_limits  # by calls that only Linux has

    limits = read_limits()
    room = f"this process may use: cores {limits.usable:g}, memory {limits.memory_mib:,} MiB"
    yield Finding(subject="machine", verdict="ok", sentence=f"{sys.platform}, {python}; {room}")
