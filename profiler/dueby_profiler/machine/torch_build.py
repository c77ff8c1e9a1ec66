"""The PyTorch that is installed, and the GPUs that it sees."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class TorchBuild:
    """What there is of PyTorch."""

    version: str
    cuda: str | None
    """The version of CUDA that it was built for; None if it is for CPUs alone."""
    gpus: tuple[str, ...]
    """The names of the GPUs that it can use."""


def read_torch() -> TorchBuild:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = (torch.cuda.get_device_name(number) for number in range(count))
    return TorchBuild(version=str(torch.__version__), cuda=torch.version.cuda, gpus=tuple(names))
