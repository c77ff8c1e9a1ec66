"""OpenVINO's form of a network: converted once with its normalisation, and kept in the cache folder.

Converting takes 2.5 s for EfficientNet-B0 and does not depend on the mini-batch size. The converted network is kept
under a name that changes with everything that it depends on. Workers of one machine may write it at the same time.
"""

import io
import logging
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from dueby_api.errors import DueByError, Invalid, first_line
from dueby_worker.engines.cache import cache_name, keep_folder
from dueby_worker.engines.network import Network, quiet_tracing
from dueby_worker.engines.openvino_files import NETWORK_FILE, import_openvino, prepare_input, read_network
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.onnx_network import OnnxGraph, OnnxNetwork
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.models.weights import FIELD
from dueby_worker.system.temporary_files import scratch_folder

log = logging.getLogger(__name__)

# The files of a network.
_PACKED = (NETWORK_FILE, "network.bin")
# The network is traced with 2 images: with 1, it may drop the axis of the mini-batch.
_TRACED_IMAGES = 2


def convert(loaded: LoadedModel) -> Any:
    """Return the network in OpenVINO's form, for any number of images."""
    if isinstance(loaded.module, OnnxNetwork):
        return _read_onnx(loaded.module.graph, loaded.preprocessing)
    side = loaded.preprocessing.crop_side
    example = torch.zeros(_TRACED_IMAGES, side, side, 3, dtype=torch.uint8)
    # OpenVINO calls torch.jit.trace. Converting by way of torch.export takes twice as long and gives the same network.
    with quiet_tracing(), _same_logging(), torch.no_grad():
        network = Network(loaded.module, loaded.preprocessing).eval()
        try:
            return import_openvino().convert_model(network, example_input=example, input=[-1, side, side, 3])
        # Of people's own networks the tracer raises anything.
        except Exception as error:
            sentence = f"OpenVINO can't convert {loaded.name}: {first_line(error)}; use the engine eager"
            raise Invalid("spec.model.engine", sentence) from None


@contextmanager
def _same_logging() -> Iterator[None]:
    """Leave the root logger as it was: OpenVINO mutes warnings while it converts, and leaves them so if it can't."""
    root = logging.getLogger()
    level, filters, handlers = root.level, list(root.filters), list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters[:], root.handlers[:] = filters, handlers


def _read_onnx(graph: OnnxGraph, preprocessing: Preprocessing) -> Any:
    """Return the file's network, with what makes its input of uint8 images in front."""
    openvino = import_openvino()
    try:
        model = openvino.Core().read_model(graph.path)
        names = {name for output in model.outputs for name in output.get_names()}
        output = model.output(graph.output) if graph.output in names else model.add_outputs(graph.output)[0]
        model = openvino.Model([output], model.get_parameters(), graph.path.stem)
        prepared = prepare_input(model)
        image = prepared.input()
        image.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        image.model().set_layout(openvino.Layout("NHWC" if graph.is_nhwc else "NCHW"))
        steps = image.preprocess()
        if not graph.takes_bytes:
            steps.convert_element_type(openvino.Type.f32)
            steps.mean([255 * value for value in preprocessing.mean])
            steps.scale([255 * value for value in preprocessing.std])
        if graph.is_bgr:
            steps.reverse_channels()
        return prepared.build()
    except RuntimeError as error:
        raise Invalid(FIELD, f"OpenVINO can't take {graph.path}: {first_line(error)}") from None


def pack(network: Any) -> bytes:
    """Return the network as one file, with its weights as they are."""
    packed = io.BytesIO()
    with scratch_folder("network") as folder:
        _save(network, folder)
        # Stored and not compressed: weights hardly get smaller.
        with zipfile.ZipFile(packed, "w") as file:
            for name in _PACKED:
                file.write(folder / name, name)
    return packed.getvalue()


def unpack(core: Any, loaded: LoadedModel) -> Any:
    """Return the job's int8 network."""
    if loaded.quantized is None:
        raise DueByError(f"{loaded.name} is to run at int8 and was not quantized")
    try:
        with zipfile.ZipFile(io.BytesIO(loaded.quantized)) as file:
            xml, weights = (file.read(name) for name in _PACKED)
        return core.read_model(xml, weights)
    except (zipfile.BadZipFile, KeyError, RuntimeError) as error:
        advice = "delete it from the sink's _dueby/int8, and the next run quantizes again"
        raise Invalid("spec.model.precision", f"the int8 network is damaged ({first_line(error)}); {advice}") from None


def converted(core: Any, loaded: LoadedModel, cache_dir: Path) -> Any:
    """Return the converted network from the cache. If it isn't there, it is converted, and kept there if that works."""
    entry = entry_of(loaded, cache_dir)
    if not (entry / NETWORK_FILE).exists():
        network = convert(loaded)
        try:
            keep_folder(entry, partial(_save, network))
        except (OSError, RuntimeError) as error:  # a full or read-only disk; OpenVINO says it in a RuntimeError
            log.warning("the converted network can't be kept in %s: %s", cache_dir, first_line(error))
            return network
    return read_network(core, entry)


def _save(network: Any, folder: Path) -> None:
    # By default weights are saved in fp16, which shifts logits by 0.08.
    import_openvino().save_model(network, folder / NETWORK_FILE, compress_to_fp16=False)


def network_key(loaded: LoadedModel) -> str:
    """Return a name that changes with everything that the converted network depends on."""
    return cache_name(
        loaded,
        preprocessing=loaded.preprocessing.document(),
        # torchvision is not imported for this: with torch's compiler, it takes a second of a core and 60 MiB.
        versions=[import_openvino().__version__, torch.__version__, version("torchvision")],
    )


def entry_of(loaded: LoadedModel, cache_dir: Path) -> Path:
    """Return the folder in which the converted network is kept."""
    return cache_dir / "openvino" / network_key(loaded)
