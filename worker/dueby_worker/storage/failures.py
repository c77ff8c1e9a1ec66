"""What the failures of requests to stores mean, whichever library has made the request."""

from collections.abc import Iterator
from contextlib import contextmanager

from dueby_api.errors import DueByError, Transient
from dueby_worker.storage.store import NotFound, Unavailable, Unsupported

_NOT_IMPLEMENTED = 501
# HTTP statuses that say that the server has trouble or too many requests. A retry would not change any other answer.
_BUSY = {408, 409, 425, 429, *range(500, 600)} - {_NOT_IMPLEMENTED}
# Exceptions of botocore's that are raised before anything is asked.
_USERS_FAULT = {"NoCredentialsError", "PartialCredentialsError", "ParamValidationError"}
# Packages whose exceptions are about a request; exceptions of other packages are bugs.
_LIBRARIES = {"botocore", "aiobotocore", "s3fs", "gcsfs", "google", "requests", "aiohttp", "fsspec"}


@contextmanager
def translate_failures() -> Iterator[None]:
    """Raise failures of requests as DueBy's own errors.

    FileExistsError passes, because it is an answer. So does any exception that is not about a request: it is a bug.
    """
    try:
        yield
    except FileExistsError:
        raise
    except Exception as error:
        if isinstance(error, OSError | TimeoutError) or type(error).__module__.partition(".")[0] in _LIBRARIES:
            raise _failure_of(error) from error
        raise


def is_by_s3(failure: BaseException) -> bool:
    """Return whether nothing but S3 has answered, which names its errors: of others botocore takes the number."""
    response = getattr(failure, "response", None)
    if isinstance(response, dict):
        return not str(response.get("Error", {}).get("Code", "")).isdigit()
    return failure.__cause__ is None or is_by_s3(failure.__cause__)


def _failure_of(error: Exception) -> DueByError:
    """Return the failure as the object's or the user's fault, or as the store's, which is worth a retry."""
    status, words = status_of(error), _words(error)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return NotFound(words)
    if status == _NOT_IMPLEMENTED:
        return Unsupported(words)
    if _is_the_users(error) or (status is not None and 400 <= status < 500 and status not in _BUSY):
        return Unavailable(words)
    return Transient(words)


def _is_the_users(error: Exception) -> bool:
    return isinstance(error, PermissionError) or type(error).__name__ in _USERS_FAULT


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status in the error of botocore, aiohttp or gcsfs, or in the error that caused it."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(error, "status", None) or getattr(error, "code", None)
    if isinstance(status, int):
        return status
    return status_of(error.__cause__) if error.__cause__ is not None else None


def _words(error: Exception) -> str:
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error) or type(error).__name__
    return str(text).splitlines()[0].rstrip(".")
