"""The libraries that only the study needs, which not every installation of DueBy has."""

from collections.abc import Iterator
from contextlib import contextmanager

from dueby_api.errors import Invalid


@contextmanager
def requires_extra() -> Iterator[None]:
    """Raise Invalid, with what to install, where a library can't be imported."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise Invalid("this command", f"needs {error.name}; install it with: pip install 'dueby[study]'") from error
