"""What a measuring process makes of errors of the libraries."""

import pytest

from dueby_profiler.measuring.measure import is_out_of_memory


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
