"""What the errors of Lance's library mean: a file's fault, or its store's, which is worth a retry.

They are Rust's, and reach Python as OSError, ValueError or RuntimeError with a text, of which the words tell them
apart. Damaged files also make it panic, which reaches Python as an exception that is no Exception.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from dueby_api.errors import DueByError, Transient
from dueby_worker.storage.store import NotFound, Unavailable

# Where in its source the library has raised the error, and what it calls all of them.
_NOISE = re.compile(r",? ?/\S+\.rs:\d+(:\d+)?|LanceError\(\w+\): ")
# Also within an error of the kind below.
_GONE = re.compile(r"\b(Not found: |was not found\b)")
# Its name for a store that doesn't answer or has trouble. What isn't allowed there has other words.
_STORES_FAULT = re.compile(r"Generic (?!LocalFileSystem)\S+ error|\btimed? ?out\b", re.IGNORECASE)
# Answers that a retry would not change.
_REFUSED = re.compile(r"status code: (3\d\d|4(?!08|09|25|29)\d\d)|CredentialsNotLoaded")
_PANIC = "PanicException"
_MAX_WORDS = 300


@contextmanager
def translate_lance_failures() -> Iterator[None]:
    """Raise the library's errors as DueBy's own: NotFound, Unavailable or Transient. Memory that lacks is no file's
    fault, and DueBy's own errors and those of other libraries pass.
    """
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise _failure_of(str(error)) from error
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise Unavailable(f"it is damaged ({_short(str(error))})") from error


def _failure_of(words: str) -> DueByError:
    if _GONE.search(words):
        return NotFound(_short(words))
    is_away = _STORES_FAULT.search(words) and not _REFUSED.search(words)
    return Transient(_short(words)) if is_away else Unavailable(_short(words))


def _short(words: str) -> str:
    lines = _NOISE.sub("", words).strip().splitlines()
    return lines[0].strip().rstrip(".")[:_MAX_WORDS] if lines else "its library says nothing"
