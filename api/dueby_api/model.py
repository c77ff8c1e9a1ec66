"""The model of a job: which network, with which weights, at which size and precision."""

import re
import shlex
from typing import Annotated, Literal

from dueby_api.classifiers import ONNX, ONNX_SUFFIX, PYTHON, PYTHON_NAME, is_onnx, is_own
from dueby_api.engines import EngineName, Precision, unsuited
from dueby_api.schema import Meta, Spec

# The hub's names have up to 96 characters, and more before them.
MAX_MODEL_NAME = 128
# What is wrong with the name and the weights of a function; the CRD says the same.
PYTHON_FUNCTION = f"{PYTHON} is followed by MODULE:FUNCTION, such as {PYTHON}birds.network:make"
PYTHON_WEIGHTS = "the function makes the weights, too; leave weights out, or give the path of a file"
# What is wrong with another model's weights under the name of an ONNX file; the CRD says the same.
ONNX_WEIGHTS = f"a model {ONNX}NAME is a file: give the path of one that ends with {ONNX_SUFFIX}"


class Model(Spec, frozen=True, kw_only=True):
    """Which model classifies the images, at which size and precision."""

    name: Annotated[str, Meta(min_length=1, max_length=MAX_MODEL_NAME)] = "efficientnet_b0"
    """A classifier of torchvision by its name there, or efficientnet_lite0; timm/NAME or timm/NAME.TAG for one of timm;
    hf/OWNER/NAME for one of the Hugging Face hub, or hf/ and a name of your own for a folder that weights names; onnx/
    and a name of your own for an ONNX file that weights names; python/MODULE:FUNCTION for a network that a function of
    your own makes."""
    weights: Annotated[str, Meta(min_length=1, max_length=2048)] = "DEFAULT"
    """DEFAULT or another of the model's weights by name (IMAGENET1K_V1; timm's tags); a path to a state_dict or a
    safetensors file; a folder with config.json and model.safetensors, as timm and transformers save it; an .onnx file,
    which has a .yaml beside it; or none: random weights, with which the results mean nothing."""
    image_size: Annotated[int, Meta(ge=32, le=4096)] = 224
    """Side of the square that the model sees, in pixels."""
    precision: Precision = "fp32"
    """fp32; tf32, on NVIDIA GPUs: fp32 whose multiplications have 10 bits of mantissa; bf16 or fp16, with which results
    are nearly the same; or int8, on CPUs: the network is quantized on some of the job's photos, which costs accuracy.
    Results may differ between precisions, so no engine changes it."""
    engine: Literal["auto"] | EngineName = "auto"
    """auto: the fastest that was measured at this precision. On CPUs: eager, openvino, ncnn or compile. On NVIDIA GPUs:
    cuda, cudagraph, inductor or tensorrt. Of ONNX files: openvino on CPUs, onnxruntime or tensorrt on NVIDIA GPUs."""
    labels: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None
    """Path of a text file with one label per line, in the order of the model's outputs. By default the weights' own."""
    classes: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    """Number of the model's outputs, if it differs from the number of the weights' own labels."""

    def __post_init__(self) -> None:
        if is_onnx(self.name) and not self.weights.endswith(ONNX_SUFFIX):
            raise ValueError(f"weights: {ONNX_WEIGHTS}")
        if self.name.startswith(PYTHON) and not re.fullmatch(PYTHON_NAME.rstrip("$"), self.name):
            raise ValueError(f"name: {PYTHON_FUNCTION}")
        if self.name.startswith(PYTHON) and self.weights == "none":
            raise ValueError(f"weights: {PYTHON_WEIGHTS}")
        if wrong := unsuited(self.engine, self.name):
            raise ValueError(f"engine: {wrong}")

    @property
    def profile_command(self) -> str:
        """What measures the model on a machine, to be pasted into a shell."""
        words = ["--model", self.name]
        for option, field in _PROFILE_OPTIONS.items():
            value = getattr(self.measured, field)
            if value not in ("none", getattr(_USUAL, field)):
                words += [option, str(value)]
        return shlex.join(["dueby", "profile", *words])

    @property
    def measured(self) -> "Model":
        """The same without weights and labels, which don't change its times. A network of the job's own keeps them."""
        return self.replace(weights=self.weights if is_own(self.name) else "none", labels=None)


_USUAL = Model()
_PROFILE_OPTIONS = {
    "--weights": "weights",
    "--image-size": "image_size",
    "--precision": "precision",
    "--engine": "engine",
}
