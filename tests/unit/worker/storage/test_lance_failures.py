"""What errors of Lance's library mean, by their words: a file's fault, or its store's."""

import pytest

from dueby_api.errors import DueByError, Transient
from dueby_worker.storage.lance_datasets import translate_lance_failures
from dueby_worker.storage.store import NotFound, Unavailable

AT = ", /home/runner/work/lance/rust/lance-io/src/object_store.rs:1576:42"
GET = "LanceError(IO): Generic S3 error: Error performing GET http://127.0.0.1:9/b/x.lance in 167.19µs - "


class PanicException(BaseException):
    """As Rust's panics reach Python."""


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        pytest.param(OSError(f"Not found: x.lance/data/1.lance{AT}"), NotFound, id="a file that isn't there"),
        pytest.param(ValueError(f"Dataset at path x.lance was not found: y{AT}"), NotFound, id="no such version"),
        pytest.param(OSError(f"Generic N/A error: Not found: x.lance{AT}"), NotFound, id="the same on S3"),
        pytest.param(OSError(f"{GET}HTTP error: error sending request{AT}"), Transient, id="a server that is away"),
        pytest.param(OSError(f"{GET}Server returned non-2xx status code: 503 Slow{AT}"), Transient, id="a busy one"),
        pytest.param(OSError(f"{GET}Server returned non-2xx status code: 429{AT}"), Transient, id="too many requests"),
        pytest.param(OSError(f"{GET}Server returned non-2xx status code: 400{AT}"), Unavailable, id="a wrong request"),
        pytest.param(OSError(f"Generic N/A error: CredentialsNotLoaded(x){AT}"), Unavailable, id="no credentials"),
        pytest.param(RuntimeError("operation timed out"), Transient, id="a time-out"),
        pytest.param(OSError(f"Encountered corrupt file x{AT}"), Unavailable, id="damaged bytes"),
        pytest.param(
            OSError(f"LanceError(IO): Generic LocalFileSystem error: failed to fill whole buffer{AT}"),
            Unavailable,
            id="a file that is cut off",
        ),
        pytest.param(PanicException("called `Result::unwrap()` on an `Err` value"), Unavailable, id="a panic"),
        pytest.param(OSError(""), Unavailable, id="no words"),
    ],
)
def test_an_error_is_the_files_or_the_stores(error: BaseException, meaning: type[DueByError]) -> None:
    with pytest.raises(DueByError) as caught, translate_lance_failures():
        raise error
    assert type(caught.value) is meaning
    assert str(caught.value)
    assert "object_store.rs" not in str(caught.value)


@pytest.mark.parametrize("error", [MemoryError("malloc"), KeyboardInterrupt(), Transient("away"), KeyError("a bug")])
def test_what_says_nothing_of_a_file_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, translate_lance_failures():
        raise error
    assert caught.value is error
