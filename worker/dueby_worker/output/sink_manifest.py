"""Whose results a sink holds: the fingerprint of a job, and `_dueby/job.json` that lays claim to the sink.

The fingerprint is what decides the rows: index, weights, model, preprocessing, image size, precision, labels. It is
kept with its components, so that a sink that belongs to another job is refused with a sentence that says what
differs, and never are old rows taken for new ones. The claim is created by the first worker, once, with the part
size, which from then on nobody can change; every part is younger than the claim.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.schema import Spec, validate
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.output.rows import FORMAT_VERSION

CLAIM = "_dueby/job.json"
FIELD = "spec.sink.uri"
ADVICE = "choose another sink, or set sink.ifExists: Overwrite to delete what is there"


class Components(Spec, frozen=True, kw_only=True):
    """What decides the rows."""

    index: str
    """Digest of the images' URIs in order."""
    weights: str
    """Digest of the weights."""
    model: str
    """Name of the model."""
    preprocessing: dict[str, Any]
    """How an image becomes the model's input."""
    image_size: int
    """Side of the model's input in pixels."""
    precision: str
    """fp32, bf16 or fp16."""
    labels: str
    """Digest of the labels."""
    classes: int
    """Number of the model's outputs."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex over all of it."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()


class Claim(Spec, frozen=True, kw_only=True):
    """`_dueby/job.json`."""

    format_version: int = FORMAT_VERSION
    """Version of the parts' layout."""
    job: str
    """Name of the job that made it."""
    fingerprint: str
    """Of the components."""
    components: Components
    """What decides the rows."""
    images: int
    """N."""
    part_size: int
    """Images in a part."""


class LoadedFacts(Protocol):
    """What the fingerprint needs of a loaded model."""

    @property
    def name(self) -> str: ...
    @property
    def labels(self) -> Sequence[str]: ...
    @property
    def preprocessing(self) -> Preprocessing: ...
    @property
    def weights_digest(self) -> str: ...


def components_of(loaded: LoadedFacts, model: Model, *, index_digest: str) -> Components:
    """The components of a job with this model over this index."""
    return Components(
        index=index_digest,
        weights=loaded.weights_digest,
        model=loaded.name,
        # Through JSON, so that tuples compare equal to what is read back.
        preprocessing=json.loads(json.dumps(loaded.preprocessing.document())),
        image_size=model.image_size,
        precision=model.precision,
        labels=hashlib.sha256("\n".join(loaded.labels).encode()).hexdigest(),
        classes=len(loaded.labels),
    )


def encode_claim(claim: Claim) -> bytes:
    """The file's content."""
    return json.dumps(claim.document(), indent=2).encode()


def decode_claim(data: bytes, *, sink: str) -> Claim:
    """The file's content as a Claim; Invalid where it is something else."""
    origin = f"{FIELD}: {CLAIM} in {sink}"
    try:
        document = json.loads(data)
    except ValueError as error:
        raise Invalid(origin, f"is not JSON ({error}); {ADVICE}") from None
    if isinstance(document, dict) and document.get("formatVersion") != FORMAT_VERSION:
        raise Invalid(
            origin, f"has format version {document.get('formatVersion')}, and this is {FORMAT_VERSION}; {ADVICE}"
        )
    return validate(Claim, document, origin=origin)


def require_same_job(found: Claim, components: Components, *, sink: str) -> None:
    """Invalid, with what differs, where the sink's claim was made with other components."""
    differences = [
        sentence(getattr(found.components, name), getattr(components, name))
        for name, sentence in _DIFFERENCES.items()
        if getattr(found.components, name) != getattr(components, name)
    ]
    if differences:
        raise Invalid(FIELD, f"{sink} holds the results of another job: {'; '.join(differences)}. To go on, {ADVICE}")


def require_same_grid(found: Claim, wanted: Claim, *, sink: str) -> None:
    """Invalid where the sink's parts are cut otherwise: the grid is fixed by a job's first plan."""
    for name, has, wants in (("images", found.images, wanted.images), ("partSize", found.part_size, wanted.part_size)):
        if has != wants:
            raise Invalid(
                name, f"{sink} was begun with {name} {has} and can't go on with {wants}; plan with {has}, or {ADVICE}"
            )


_DIFFERENCES: dict[str, Callable[[Any, Any], str]] = {
    "index": lambda was, now: f"its images were others (index {was[:12]}, now {now[:12]})",
    "model": lambda was, now: f"its model was {was} (now {now})",
    "weights": lambda was, now: f"its weights were others ({was[:12]}, now {now[:12]})",
    "image_size": lambda was, now: f"its image size was {was} (now {now})",
    "precision": lambda was, now: f"its precision was {was} (now {now})",
    "classes": lambda was, now: f"it had {was} classes (now {now})",
    "labels": lambda was, now: "its labels were others",
    "preprocessing": lambda was, now: f"images were prepared otherwise ({_changed(was, now)})",
}


def _changed(was: dict[str, Any], now: dict[str, Any]) -> str:
    names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
    return ", ".join(f"{name} {was.get(name)}, now {now.get(name)}" for name in names)
