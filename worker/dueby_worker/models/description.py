"""What people say of a network of their own: how images are prepared, what its values are, what its classes are called.

What changes answers without any error has no default. docs/models.md describes the fields.
"""

from math import isfinite
from typing import Annotated, Literal

import torch

from dueby_api.errors import Invalid
from dueby_api.schema import Meta, Spec
from dueby_worker.models.preprocessing import Channels, Interpolation, Preprocessing

# How far the sum of probabilities may be from 1.
_SUM_TOLERANCE = 1e-2
Values = Literal["Logits", "Probabilities"]
Labels = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=512)], ...], Meta(min_length=1, max_length=100_000)
]
Side = Annotated[int, Meta(ge=32, le=4096)]


class Preparation(Spec, frozen=True, kw_only=True):
    """How an image is prepared."""

    size: Side
    """Side of the square that the model was trained for, in pixels."""
    resize: Annotated[int, Meta(ge=32, le=8192)] | None = None
    """The shorter side is resized to this many pixels, before a square of `size` is cut from the centre; `size` itself
    by default."""
    stretch: bool = False
    """Whether both sides are resized to `resize`, so that the image loses its proportions."""
    interpolation: Interpolation
    """Filter of the resize."""
    antialias: bool = True
    """Whether the filter widens when shrinking, as Pillow's does and OpenCV's doesn't."""
    recompress: bool = False
    """Whether the square is then compressed as a JPEG, as Pillow does by default, and decoded again."""
    divide_by: float
    """Values from 0 to 255 are first divided by this: 255, or 1 for models that take them as they are."""
    mean: tuple[float, float, float]
    """Then this is subtracted, for each channel ..."""
    std: tuple[float, float, float]
    """... and the result is divided by this."""

    def __post_init__(self) -> None:
        for name, values in (("divideBy", (self.divide_by,)), ("mean", self.mean), ("std", self.std)):
            if not all(map(isfinite, values)) or (name != "mean" and min(values) <= 0):
                raise ValueError(f"{name}: must be finite{'' if name == 'mean' else ' and above 0'}")
        if self.resize is not None and self.resize < self.size:
            raise ValueError(f"resize: must be at least size, which is {self.size}, but is {self.resize}")

    @property
    def preprocessing(self) -> Preprocessing:
        """The same in the terms of all models: of RGB images from 0 to 1."""
        unit = 255 / self.divide_by
        return Preprocessing(
            resize_side=self.resize or self.size,
            crop_side=self.size,
            interpolation=self.interpolation,
            antialias=self.antialias,
            mean=_divided(self.mean, unit),
            std=_divided(self.std, unit),
            stretches=self.stretch,
            recompresses=self.recompress,
        )


def _divided(values: Channels, unit: float) -> Channels:
    first, second, third = values
    return (first / unit, second / unit, third / unit)


def require_said(values: torch.Tensor, said: Values, labels: Labels, *, origin: str, what: str) -> None:
    """Raise Invalid unless some images' values (b, values) are what is said of them."""
    if values.shape[1] != len(labels):
        contradiction = f"{what} has {values.shape[1]:,} values of an image"
        raise Invalid(f"{origin}: labels", f"has {len(labels):,}, but {contradiction}; give a label for each")
    sums_to_one = bool((values >= 0).all()) and bool(((values.sum(dim=1) - 1).abs() <= _SUM_TOLERANCE).all())
    if sums_to_one == (said == "Probabilities"):
        return
    if sums_to_one:
        raise Invalid(
            f"{origin}: values",
            f"is Logits, but the values of {what} are probabilities, each from 0 to 1 and 1 in all; set Probabilities",
        )
    advice = "set Logits; of classes that exclude each other, probabilities are 1 in all"
    raise Invalid(f"{origin}: values", f"is Probabilities, but the values of {what} are none: {advice}")
