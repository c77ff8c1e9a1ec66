"""What a command needs and this machine may lack: packages of an extra, and Linux."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from dueby_api.errors import Invalid

# Modules of Python's own that other systems lack.
_LINUX_MODULES = ("fcntl", "resource")


@contextmanager
def needing(name: str, extra: str = "") -> Iterator[None]:
    """Raise Invalid if what is imported in the block isn't installed: an extra of ours, or else a package by itself."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module in _LINUX_MODULES:
            raise Invalid(name, _needs_linux(sys.platform)) from error
        if not module or module.startswith("dueby"):  # a fault of ours
            raise
        package = f"'dueby[{extra}]'" if extra else module
        raise Invalid(name, f"needs {module}; install it with: pip install {package}") from error


def require_linux(name: str, *, platform: str = sys.platform) -> None:
    """Raise Invalid on another system, on which workers can't be run."""
    if platform != "linux":
        raise Invalid(name, _needs_linux(platform))


def _needs_linux(platform: str) -> str:
    return f"needs Linux, and this is {platform}; plan, calendar and report work here, and jobs run in a cluster"
