"""Quantize a network to int8 on photos, by NNCF: OpenVINO's network, with the scales that the photos ask for.

This is post-training quantization: a few dozen photos go through the network in fp32, the ranges of what its layers
give become scales, and a correction of the biases takes back a part of the error. It takes seconds to a minute, and the
result depends on the photos and, in its last digits, on the machine. So it is done once for a job, by the index step,
and what comes of it is in the sink, from where every worker takes it.

Workers therefore never import NNCF, which takes seconds.
"""

import contextlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dueby_api.errors import Invalid, first_line
from dueby_worker.engines.cache import cached_file
from dueby_worker.engines.openvino_network import convert, network_key, pack
from dueby_worker.engines.parity import made_up_images
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.preprocessing import Pixels
from dueby_worker.system.cache_folder import usable_cache

CALIBRATION_PHOTOS = 64
"""Photos to quantize on. More of them take longer and bring the results no nearer to fp32's."""
# Layers that leave values as they are.
_SHAPING = ("Convert", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
# For times alone: what is in the images makes no difference to them.
_MADE_UP = 4


def quantize(loaded: LoadedModel, photos: Sequence[Pixels], *, is_fast: bool = False) -> bytes:
    """Return the model quantized on the photos, packed as `LoadedModel.quantized` has it. Raise Invalid if it can't be.

    The photos are (side, side, 3) as decoders leave them, one at least. With `is_fast`, biases are corrected roughly:
    the network is as fast, and further from fp32.
    """
    network = convert(loaded)
    # After openvino, which keeps its telemetry from being found.
    import nncf

    # Not nncf.set_log_level, which also changes handlers that are not NNCF's own.
    logging.getLogger("nncf").setLevel(logging.ERROR)
    try:
        # It draws bars of its progress on stdout, where a step's last words belong.
        with contextlib.redirect_stdout(io.StringIO()):
            quantized = nncf.quantize(
                network,
                nncf.Dataset([photo[None] for photo in photos]),
                subset_size=len(photos),
                fast_bias_correction=is_fast,
                model_type=nncf.ModelType.TRANSFORMER if has_attention(network) else None,
            )
    # Of people's own networks it raises anything.
    except Exception as error:
        raise Invalid("spec.model.precision", f"{loaded.name} can't be quantized: {first_line(error)}") from None
    return pack(quantized)


def has_attention(network: Any) -> bool:
    """Return whether an OpenVINO network is a transformer: it has attention, in one layer or written out.

    NNCF has to be told, and smooths what goes into their layers: otherwise a few large values take up the whole scale.
    """
    return any(
        layer.get_type_name() == "ScaledDotProductAttention"
        or (layer.get_type_name() == "Softmax" and "MatMul" in _takers(layer))
        for layer in network.get_ops()
    )


def _takers(layer: Any) -> set[str]:
    """Return the types of the layers that take what a layer gives, other than those that only give it another shape."""
    types: set[str] = set()
    for taker in (end.get_node() for output in layer.outputs() for end in output.get_target_inputs()):
        kind = taker.get_type_name()
        types |= _takers(taker) if kind in _SHAPING else {kind}
    return types


def quantize_for_times(loaded: LoadedModel, cache_dir: Path | None) -> bytes:
    """Return the model quantized on made-up images: as fast as any other, and its results mean nothing.

    It is kept in the cache folder, so that only the first process that measures takes the time.
    """

    def make() -> bytes:
        return quantize(loaded, list(made_up_images(_MADE_UP, loaded.preprocessing.crop_side)), is_fast=True)

    if (usable := usable_cache(cache_dir)) is None:
        return make()
    return cached_file(usable / "int8" / f"{network_key(loaded)}.zip", make)
