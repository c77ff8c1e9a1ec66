"""How far a precision's results are from those of fp32, measured on photos."""

from typing import Annotated

from dueby_api.schema import LenientSpec, Meta, field
from dueby_api.words import counted

Photos = Annotated[int, Meta(ge=1, le=10**6)]
Share = Annotated[float, Meta(ge=0, le=1)]
_SHOWN_DIGITS = 12


class Agreement(LenientSpec, frozen=True, kw_only=True):
    """How far the results of an engine at this precision are from plain fp32's, on photos."""

    photos: Photos
    """Photos that the network was given both ways."""
    same_top1: Share | None = field(default=None, name="sameTop1")
    """Share of them whose best class is that of fp32; absent of embeddings."""
    max_difference: Annotated[float, Meta(ge=0, le=10**9)] | None = None
    """The largest difference of a best class's probability; absent if a result is no number."""
    similarity: Annotated[float, Meta(ge=-1, le=1)] | None = None
    """Of embeddings: the mean cosine between a photo's and fp32's; absent if one is no number."""
    least_similarity: Annotated[float, Meta(ge=-1, le=1)] | None = None
    """Of embeddings: the least cosine."""
    weights_digest: Annotated[str, Meta(min_length=1, max_length=256)]
    """Digest of the weights: other weights agree better or worse."""
    labelled: Photos | None = None
    """Photos that lie in a folder which is called by one of the model's labels; absent if none does."""
    accuracy: Share | None = None
    """Share of those whose best class has that label."""
    accuracy_fp32: Share | None = field(default=None, name="accuracyFp32")
    """The same of fp32."""

    @property
    def closeness(self) -> float:
        """1 if nothing differs that counts: the share of the best classes, or the mean cosine of embeddings."""
        value = self.similarity if self.same_top1 is None else self.same_top1
        return -1.0 if value is None else value

    @property
    def sentence(self) -> str:
        """The same for people, without a full stop."""
        if self.same_top1 is None:
            return self._of_embeddings
        said = f"{self.same_top1:.1%} of {counted(self.photos, 'photo')} have fp32's best class"
        if self.max_difference is not None:
            said += f", its probability differs by up to {self.max_difference:.2g}"
        if self.labelled is None or self.accuracy is None or self.accuracy_fp32 is None:
            return said
        right = f"{self.accuracy:.1%} are right (fp32: {self.accuracy_fp32:.1%})"
        return f"{said}; of {counted(self.labelled, 'labelled photo')} {right}"

    @property
    def sentence_with_weights(self) -> str:
        """The same with the weights that it holds for."""
        return f"{self.sentence} (weights {self.weights_digest[:_SHOWN_DIGITS]})"

    @property
    def _of_embeddings(self) -> str:
        of_photos = f"embeddings of {counted(self.photos, 'photo')}"
        if self.similarity is None or self.least_similarity is None:
            return f"{of_photos} have values that are no numbers"
        mean, least = f"{self.similarity:.4f}", f"{self.least_similarity:.4f}"
        return f"{of_photos} have a mean cosine of {mean} with fp32's, at least {least}"
