"""ncnn on the CPU: the fastest engine on networks that are mostly convolutions of 3 x 3, such as ResNet-18 and VGG.

It computes them by Winograd's algorithm, which takes fewer multiplications than the convolution itself. On other
networks it may be as fast as other engines or many times slower, which the profile shows. It computes one image after
the other, so that a mini-batch's latency grows with its size, and hardly its memory. The weights of those convolutions
take several times the memory that they have in a file.

pnnx, its converter, is a program of its own. It takes what PyTorch has traced, for one image of one size, and writes
two files. That takes seconds, and 20 of them for VGG's weights, so the files are kept in the cache folder, under a name
that changes with everything that they depend on.
"""

import logging
import shutil
import subprocess
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dueby_api.engines import Precision
from dueby_api.errors import DueByError, Invalid, first_line
from dueby_worker.engines import eager
from dueby_worker.engines.cache import cache_name, keep_folder
from dueby_worker.engines.host import missing_packages
from dueby_worker.engines.network import columns_from
from dueby_worker.engines.tracing import quiet_tracing
from dueby_worker.models.columns import RowRule
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.preprocessing import Pixels, Preprocessing
from dueby_worker.system.scratch import scratch_folder

log = logging.getLogger(__name__)

# The files of a network: its layers and their weights.
_LAYERS, _WEIGHTS = "network.param", "network.bin"
# Names that pnnx gives to a network's input and output.
_INPUT, _OUTPUT = "in0", "out0"
# The first two lines of the file of layers are a magic number and how many layers there are.
_HEAD_LINES = 2
# Of torchvision's networks VGG takes longest, 20 to 30 s on one core.
_MAX_CONVERTING_S = 120
# What ncnn returns where there is no memory.
_NO_MEMORY = -100
_INSTALL = "pip install 'dueby[ncnn]', in the worker's image too"


class NcnnNetwork:
    """Maps (b, side, side, 3) uint8 to the columns of b rows, one image after the other."""

    def __init__(self, network: Any, *, preprocessing: Preprocessing, rule: RowRule) -> None:
        self.network = network
        # What ncnn subtracts from a channel, and multiplies it by then.
        self._shift = [255 * mean for mean in preprocessing.mean]
        self._scale = [1 / (255 * std) for std in preprocessing.std]
        self._rule = rule

    def __call__(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the columns by name. ncnn holds no lock of Python's meanwhile."""
        values = torch.from_numpy(np.stack([self._values(image) for image in pixels.numpy()]))
        return columns_from(values, self._rule)

    def _values(self, image: Pixels) -> np.ndarray:
        """Return what the network makes of one image, (values,)."""
        ncnn = _import_ncnn()
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
    return eager.find_obstacle(precision)


def build(
    *, loaded: LoadedModel, mini_batch_size: int, precision: Precision, threads: int, cache_dir: Path | None
) -> eager.SynchronousEngine:
    """Return the engine `ncnn`."""
    # torch only prepares images in the decoders' threads; the cores are for the network.
    torch.set_num_threads(1)
    network = _network(loaded, threads=threads, cache_dir=cache_dir)
    return eager.SynchronousEngine(
        name="ncnn",
        precision=precision,
        network=NcnnNetwork(network, preprocessing=loaded.preprocessing, rule=loaded.rule),
        mini_batch_size=mini_batch_size,
        side=loaded.preprocessing.crop_side,
    )


def _import_ncnn() -> Any:
    import ncnn

    return ncnn


def _network(loaded: LoadedModel, *, threads: int, cache_dir: Path | None) -> Any:
    """Return the network, by way of the cache folder if there is one and it can be kept there."""
    if cache_dir is not None:
        entry = cache_dir / "ncnn" / network_key(loaded)
        try:
            if not entry.exists():
                keep_folder(entry, partial(convert, loaded))
            return _load(entry, threads)
        except OSError as error:
            log.warning("the converted network can't be kept in %s: %s", cache_dir, error.strerror)
    with scratch_folder("network") as folder:
        convert(loaded, folder)
        return _load(folder, threads)


def convert(loaded: LoadedModel, folder: Path) -> None:
    """Write the network for one image as ncnn reads it: two files in the folder.

    Raise Invalid if PyTorch can't trace it, pnnx can't convert it, or ncnn lacks a layer of it.
    """
    side = loaded.preprocessing.crop_side
    with scratch_folder("converting") as workplace:
        traced = workplace / "network.pt"
        with quiet_tracing(), torch.no_grad():
            try:
                network = torch.jit.trace(  # type: ignore[no-untyped-call]
                    loaded.module.eval(), torch.zeros(1, 3, side, side), check_trace=False
                )
                network.save(str(traced))
            # Of people's own networks the tracer raises anything.
            except Exception as error:
                raise _refusal(loaded, f"PyTorch can't trace it: {first_line(error)}") from None
        layers, weights = workplace / _LAYERS, workplace / _WEIGHTS
        _run_pnnx(loaded, traced, f"inputshape=[1,3,{side},{side}]", f"ncnnparam={layers}", f"ncnnbin={weights}")
        _require_layers(loaded, layers)
        # Not written there by pnnx, which doesn't tell a full disk from a network that it can't convert.
        for file in (layers, weights):
            shutil.move(file, folder / file.name)


def _run_pnnx(loaded: LoadedModel, traced: Path, *options: str) -> None:
    import pnnx

    # Without fp16=0 it halves the weights' precision.
    command = [pnnx.EXEC_PATH, str(traced), *options, "fp16=0"]
    try:
        done = subprocess.run(
            command,
            cwd=traced.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_MAX_CONVERTING_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _refusal(loaded, f"pnnx was not done after {_MAX_CONVERTING_S} s") from None
    if done.returncode:
        raise _refusal(loaded, f"pnnx ended with exit code {done.returncode}")


def _require_layers(loaded: LoadedModel, layers: Path) -> None:
    """Raise Invalid if ncnn lacks a kind of layer, as pnnx leaves them where it knows no way to write them."""
    kinds = {line.split()[0] for line in layers.read_text().splitlines()[_HEAD_LINES:] if line.strip()}
    lacking = sorted(kind for kind in kinds if _import_ncnn().layer_to_index(kind) < 0)
    if lacking:
        raise _refusal(loaded, f"there is no layer {' or '.join(lacking)} in ncnn")


def _refusal(loaded: LoadedModel, reason: str) -> Invalid:
    return Invalid("spec.model.engine", f"ncnn can't take {loaded.name}: {reason}; use the engine openvino or eager")


def _load(folder: Path, threads: int) -> Any:
    """Return the network of the folder. Raise DueByError if its files are damaged."""
    network = _import_ncnn().Net()
    options = network.opt
    options.num_threads = threads
    options.use_vulkan_compute = False
    # On ARM these are the default, and are not fp32.
    options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
    options.use_bf16_storage = options.use_bf16_packed = False
    if network.load_param(str(folder / _LAYERS)) or network.load_model(str(folder / _WEIGHTS)):
        raise DueByError(f"the converted network in {folder} is damaged; delete the folder, and it is converted again")
    return network


def network_key(loaded: LoadedModel) -> str:
    """Return a name that changes with everything that the converted network depends on."""
    return cache_name(
        loaded,
        side=loaded.preprocessing.crop_side,
        versions=[version(library) for library in ("ncnn", "pnnx", "torch", "torchvision")],
    )
