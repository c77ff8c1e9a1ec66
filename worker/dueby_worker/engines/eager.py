"""PyTorch as it is, tuned: channels_last, folded batch norms, inference mode, as many threads as the slice has cores.

It runs wherever torch does. bf16 is the whole network in bf16, not autocast: the same accuracy and a tenth faster. On
CPUs without bf16 instructions it is twenty times slower than fp32; that is the profile's to say, not a reason to
compute something else than the job asks for.
"""

from collections.abc import Callable

import numpy as np
import torch

from dueby_api.engines import EngineName, Precision
from dueby_worker.engines.interface import Pixels, TopK
from dueby_worker.engines.network import tuned_classifier
from dueby_worker.models.loading import LoadedModel

# uint8 pictures to classes and their probabilities, best first
Forward = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class TorchEngine:
    """Runs a classifier on the CPU, in collect()."""

    depth = 1

    def __init__(
        self, *, name: EngineName, precision: Precision, classifier: Forward, mini_batch_size: int, side: int
    ) -> None:
        self.name = name
        self.precision = precision
        self._classifier = classifier
        self._shape = (mini_batch_size, side, side, 3)
        self._batch: Pixels | None = None

    def buffer(self) -> Pixels:
        """As Engine says."""
        return np.empty(self._shape, dtype=np.uint8)

    def submit(self, batch: Pixels) -> None:
        """As Engine says."""
        self._batch = batch

    def collect(self) -> TopK:
        """As Engine says."""
        with torch.inference_mode():
            classes, scores = self._classifier(torch.from_numpy(self._batch))
        self._batch = None
        return TopK(classes=classes.numpy(), scores=scores.numpy())

    def close(self) -> None:
        """As Engine says."""
        self._batch = None


def find_obstacle(precision: Precision) -> str | None:
    """Why the engine can't run here at that precision; None where it can."""
    return (
        "CPUs compute fp16 slower than fp32, and far less exactly; take fp32 or bf16" if precision == "fp16" else None
    )


def build(*, loaded: LoadedModel, mini_batch_size: int, precision: Precision, threads: int) -> TorchEngine:
    """The engine `eager`."""
    torch.set_num_threads(threads)
    return TorchEngine(
        name="eager",
        precision=precision,
        classifier=tuned_classifier(loaded, precision),
        mini_batch_size=mini_batch_size,
        side=loaded.preprocessing.crop_side,
    )
