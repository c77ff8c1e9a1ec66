"""What PyTorch warns of when a network is traced, for engines that have it traced."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def quiet_tracing() -> Iterator[None]:
    """Keep back what would say nothing to people who classify images."""
    with warnings.catch_warnings():
        # torch.jit.trace is deprecated, and so is what calls it.
        warnings.simplefilter("ignore", DeprecationWarning)
        # The tracer reads all properties of a module, and so those that transformers will remove.
        warnings.simplefilter("ignore", FutureWarning)
        # The tracer warns of shapes that it takes for constants, and here they are.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        yield
