"""The file beside an ONNX model, which says what the model can't say itself: how images are prepared, what comes out.

`NAME.onnx` has `NAME.yaml`. What changes answers without any error has no default. docs/models.md describes the fields.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml

from dueby_api.errors import Invalid, first_line
from dueby_api.schema import Meta, Spec, validate
from dueby_worker.models.description import Labels, Preparation, Values
from dueby_worker.models.preprocessing import Channels, Preprocessing
from dueby_worker.models.weights import FIELD

SUFFIX = ".yaml"
DOCUMENT = "docs/models.md says what it holds"
# Characters of a file; 100,000 labels have fewer.
_MAX_TEXT = 2**22


class Input(Preparation, frozen=True, kw_only=True):
    """How an image becomes the input of an ONNX file."""

    layout: Literal["NCHW", "NHWC"]
    """Whether the channels come before the rows of pixels, as in PyTorch, or last, as in TensorFlow."""
    channels: Literal["RGB", "BGR"]
    """The order of the channels, also in `mean` and `std`."""

    @property
    def preprocessing(self) -> Preprocessing:
        """The same in the terms of all models: of RGB images from 0 to 1."""
        of_rgb = super().preprocessing
        if self.channels == "RGB":
            return of_rgb
        return replace(of_rgb, mean=_reversed(of_rgb.mean), std=_reversed(of_rgb.std))


class Description(Spec, frozen=True, kw_only=True):
    """What the file beside a model says."""

    input: Input
    """How an image becomes the model's input."""
    output: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """Name of the output with a value for each class; needed only if the model has several."""
    values: Values
    """Whether these are logits, or probabilities already, because the model ends with a softmax."""
    labels: Labels
    """A label for each class, in the order of the values."""


def description_path(model: Path) -> Path:
    return model.with_suffix(SUFFIX)


def read_description(model: Path) -> Description:
    """Return what the file beside the model says. Raise Invalid if it isn't there or is wrong."""
    path = description_path(model)
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MAX_TEXT + 1)
    except FileNotFoundError:
        sentence = f"{model} can't say how images are prepared and what its values mean: write {path}; {DOCUMENT}"
        raise Invalid(FIELD, sentence) from None
    except (OSError, ValueError) as error:
        raise Invalid(FIELD, f"{path} can't be read as text: {first_line(error)}") from None
    if len(text) > _MAX_TEXT:
        raise Invalid(str(path), f"has more than {_MAX_TEXT:,} characters; no model needs so many")
    try:
        document = yaml.load(text, Loader=_MetadataLoader)  # a safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise Invalid(str(path), f"is no YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(document, dict):
        raise Invalid(str(path), f"is no mapping of fields; {DOCUMENT}")
    return validate(Description, document, origin=str(path))


class _MetadataLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Refuses what PyYAML takes in silence: a key that is there twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Return the mapping, if its keys are all different."""
        seen = set[str]()
        for key in (key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is there twice", node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _reversed(values: Channels) -> Channels:
    first, second, third = values
    return (third, second, first)
