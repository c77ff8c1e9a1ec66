"""ncnn on the CPU: the fastest engine on networks that are mostly convolutions of 3 x 3, such as ResNet-18 and VGG.

It computes them by Winograd's algorithm, which takes fewer multiplications than the convolution itself. On other
networks it may be as fast as other engines or many times slower, which the profile shows. It computes one image after
the other, so that a mini-batch's latency grows with its size, and hardly its memory. The weights of those convolutions
take several times the memory that they have in a file.

Only to convert a network takes torch (ncnn_network.py): one that is kept is opened again without.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dueby_api.engines import Precision
from dueby_api.errors import DueByError
from dueby_worker.engines.host import find_cpu_obstacle, missing_packages
from dueby_worker.engines.interface import EngineRequest
from dueby_worker.engines.ncnn_files import import_ncnn, open_network
from dueby_worker.engines.synchronous import SynchronousEngine
from dueby_worker.models.columns import Columns, RowRule, columns_from_array
from dueby_worker.models.facts import KnownModel
from dueby_worker.models.preprocessing import Pixels, Preprocessing

if TYPE_CHECKING:
    from dueby_worker.models.loading import LoadedModel

# Names that pnnx gives to a network's input and output.
_INPUT, _OUTPUT = "in0", "out0"
# What ncnn returns where there is no memory.
_NO_MEMORY = -100
_INSTALL = "pip install 'dueby[ncnn]', in the worker's image too"


class NcnnNetwork:
    """Maps (b, side, side, 3) uint8 to the columns of b rows, one image after the other, without Python's lock."""

    def __init__(self, network: Any, *, preprocessing: Preprocessing, rule: RowRule) -> None:
        self.network = network
        # What ncnn subtracts from a channel, and multiplies it by then.
        self._shift = [255 * mean for mean in preprocessing.mean]
        self._scale = [1 / (255 * std) for std in preprocessing.std]
        self._rule = rule

    def __call__(self, batch: Pixels) -> Columns:
        return columns_from_array(np.stack([self._values(image) for image in batch]), self._rule)

    def _values(self, image: Pixels) -> np.ndarray:
        """Return what the network makes of one image, (values,)."""
        ncnn = import_ncnn()
        height, width, _ = image.shape
        planes = ncnn.Mat.from_pixels(image, ncnn.Mat.PixelType.PIXEL_RGB, width, height)
        planes.substract_mean_normalize(self._shift, self._scale)
        extractor = self.network.create_extractor()
        extractor.input(_INPUT, planes)
        failure, values = extractor.extract(_OUTPUT)
        if failure == _NO_MEMORY:
            raise MemoryError("ncnn has not enough memory for an image")
        if failure:
            raise DueByError(f"ncnn can't compute an image: it returned {failure}")
        # A copy, because ncnn's own memory goes with the object.
        return np.array(values).reshape(-1)


def find_obstacle(precision: Precision) -> str | None:
    """Return why the engine can't run here at that precision; None if it can."""
    if precision in ("bf16", "int8"):
        return f"ncnn computes in fp32 here, not in {precision}; use the engine auto or openvino"
    if missing := missing_packages("ncnn"):
        return f"{' and '.join(missing)} must be installed: {_INSTALL}"
    return find_cpu_obstacle(precision)


def build(request: EngineRequest) -> SynchronousEngine:
    import torch

    from dueby_worker.engines.ncnn_network import network_of

    # torch only prepares images in the decoders' threads; the cores are for the network.
    torch.set_num_threads(1)
    network = network_of(request.loaded, threads=request.threads, cache_dir=request.cache_dir)
    return _engine(network, request.loaded, mini_batch_size=request.mini_batch_size, precision=request.precision)


def entry_of(loaded: "LoadedModel", cache_dir: Path) -> Path:
    """Return the folder in which the converted network is kept."""
    from dueby_worker.engines import ncnn_network

    return ncnn_network.entry_of(loaded, cache_dir)


def reopen(
    entry: Path, *, model: KnownModel, mini_batch_size: int, precision: Precision, threads: int
) -> SynchronousEngine:
    """Return the engine of a network that is kept in the folder `entry`, without torch."""
    network = open_network(entry, threads)
    return _engine(network, model, mini_batch_size=mini_batch_size, precision=precision)


def _engine(network: Any, model: KnownModel, *, mini_batch_size: int, precision: Precision) -> SynchronousEngine:
    run, side = NcnnNetwork(network, preprocessing=model.preprocessing, rule=model.rule), model.preprocessing.crop_side
    return SynchronousEngine(name="ncnn", precision=precision, run=run, shape=(mini_batch_size, side, side, 3))
