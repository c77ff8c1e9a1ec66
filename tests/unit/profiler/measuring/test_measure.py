"""What a measuring process makes of errors of the libraries, and how long it goes on."""

import pytest

from dueby_profiler.measuring.measure import is_enough, is_out_of_memory
from dueby_profiler.measuring.messages import StartSteps


@pytest.mark.parametrize(
    ("words", "has_run", "is_memory"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", False, True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", False, True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", False, True),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", False, True),
        ("GET was unable to find an engine to execute this computation", True, True),
        ("GET was unable to find an engine to execute this computation", False, False),
        ("Unable to find a valid cuDNN algorithm to run convolution", True, True),
        ("Unable to find a valid cuDNN algorithm to run convolution", False, False),
        ("CUDA error: an illegal memory access was encountered", True, False),
    ],
)
def test_memory_that_runs_out_is_known_by_any_of_its_names(words: str, has_run: bool, is_memory: bool) -> None:
    assert is_out_of_memory(RuntimeError(words), has_run=has_run) == is_memory


@pytest.mark.parametrize(
    ("steps", "start", "enough"),
    [
        pytest.param(5, StartSteps(limit_us=10**8), True, id="five even steps of a core"),
        pytest.param(4, StartSteps(limit_us=10**8), False, id="of which four say nothing yet"),
        pytest.param(30, StartSteps(limit_us=10**8, least_us=60_000, least_steps=30), False, id="too short on a GPU"),
        pytest.param(29, StartSteps(limit_us=10**8, least_us=20_000, least_steps=30), False, id="too few on a GPU"),
        pytest.param(60, StartSteps(limit_us=10**8, least_us=60_000, least_steps=30), True, id="enough of both"),
    ],
)
def test_even_steps_say_enough_once_they_are_as_many_and_as_long_as_they_are_to_be(
    steps: int, start: StartSteps, enough: bool
) -> None:
    assert is_enough([1000] * steps, start) == enough
