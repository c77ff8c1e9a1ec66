"""What a row holds of an image: the best classes, all probabilities, or an embedding.

`OUTPUT_FIELDS` is the one table of the kinds. The class below validates by it, and so do the CRD's rules. The field has
None where it was left out, so that a field of another kind is noticed; `resolved` fills in what the kind then means.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from dueby_api.schema import Meta, Spec

OutputKind = Literal["TopK", "Probabilities", "Embedding"]
Dtype = Literal["float32", "float16"]
# Who wants more classes of an image than this wants all of them.
MAX_K = 100
# Images in a part, which a worker keeps in memory until it is whole. With vectors of MAX_VALUES, that is half a GiB.
MAX_PART = 65_536
MAX_VECTOR_PART = 4_096
MAX_VALUES = 32_768

# The fields of each kind besides `kind`, with what each is if it is left out.
OUTPUT_FIELDS: Mapping[OutputKind, Mapping[str, Any]] = {
    "TopK": {"k": 5, "threshold": None},
    "Probabilities": {},
    "Embedding": {"layer": None, "dtype": "float32", "normalize": False},
}


def only_of(field: str) -> str:
    """Return what is wrong with a field that is of another kind."""
    owner = next(kind for kind, fields in OUTPUT_FIELDS.items() if field in fields)
    return f"{field}: only the kind {owner} has it; leave it out, or set kind to {owner}"


class Threshold(Spec, frozen=True, kw_only=True):
    """A probability that is worth a column of its own."""

    label: Annotated[str, Meta(min_length=1, max_length=512)]
    """One of the model's labels."""
    above: Annotated[float, Meta(ge=0, lt=1)]
    """The column `flagged` says whether the label's probability is above this."""


class Output(Spec, frozen=True, kw_only=True):
    """What a row holds of an image. Which fields there are depends on the kind."""

    kind: OutputKind = "TopK"
    """TopK: the best classes with labels and probabilities. Probabilities: those of all classes. Embedding: the vector
    that the network makes of the image, for searching and clustering."""
    k: Annotated[int, Meta(ge=1, le=MAX_K)] | None = None
    """Of TopK: how many classes, best first; 5 by default, and never more than the model has."""
    threshold: Threshold | None = None
    """Of TopK: adds the column `flagged`, which says whether one label's probability is above a number, whether or not
    the label is among the k."""
    layer: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """Of Embedding: the layer whose output it is, as torchvision.models.feature_extraction names it (layer4). A map is
    averaged over its places. By default the input of the network's last layer, the one that tells classes apart."""
    dtype: Dtype | None = None
    """Of Embedding: float32, the default, or float16. The network computes in the model's precision."""
    normalize: bool | None = None
    """Of Embedding: whether each vector is scaled to the length 1 (L2), with which a dot product is the cosine; false
    by default."""

    def __post_init__(self) -> None:
        for fields in OUTPUT_FIELDS.values():
            for name in fields:
                if name not in OUTPUT_FIELDS[self.kind] and getattr(self, name) is not None:
                    raise ValueError(only_of(name))

    @property
    def resolved(self) -> "Output":
        """The same with every field of its kind."""
        left_out = {name: default for name, default in OUTPUT_FIELDS[self.kind].items() if getattr(self, name) is None}
        return self.replace(**left_out)

    @property
    def is_usual(self) -> bool:
        """Whether it is what a job gets that doesn't say: the five best classes."""
        return self.resolved == Output().resolved

    @property
    def max_part(self) -> int:
        """The most images in a part: fewer if a row holds a vector."""
        return MAX_PART if self.kind == "TopK" else MAX_VECTOR_PART

    @property
    def words(self) -> str:
        """The same in a few words, for sentences."""
        full = self.resolved
        if full.kind == "TopK":
            flag = full.threshold
            return f"the top {full.k}{f', and whether {flag.label} is above {flag.above:g}' if flag else ''}"
        if full.kind == "Probabilities":
            return "all probabilities"
        layer = f" of {full.layer}" if full.layer else ""
        return f"{'a normalized' if full.normalize else 'an'} embedding{layer} in {full.dtype}"
