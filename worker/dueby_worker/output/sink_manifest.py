"""`_dueby/job.json`: the sink's own manifest, which says whose results the sink holds and how they are cut into parts.

The fingerprint covers what the rows depend on: index, weights, model, preprocessing, image size, precision, labels,
output, what decodes, what becomes of damaged images, what the source calls them and what is kept of it. It is stored
with its components, so that a sink of another job is refused with a sentence that says what differs, and old rows are
never taken for new ones. The first worker creates it, once, with the part size, which nobody can change from then on.
Every part is younger than the manifest. Where there is a cluster, it also has the uid of the InferenceJob that began
the sink: such a job never overwrites its own rows, and the names of the parts end with a mark that is made of it.

What is added to a sink has a manifest of its own (storage/generations.py).

(A job's `source.manifest` is something else: a list of images. See dueby_worker/index/source_manifest.py.)
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dueby_api.errors import Invalid
from dueby_api.grid import Grid
from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_api.schema import Spec, validate
from dueby_api.source import Source
from dueby_api.step_config import Count, Uid
from dueby_api.words import counted
from dueby_worker.output.part_names import FORMAT_VERSION, MARK_DIGITS
from dueby_worker.storage.generations import newest_generation, path_in
from dueby_worker.storage.store import NotFound, Store

# It loads NumPy, which not all readers of a manifest need.
if TYPE_CHECKING:
    from dueby_worker.models.facts import KnownModel

SINK_MANIFEST = "_dueby/job.json"
SINK_FIELD = "spec.sink.uri"
ADVICE = "choose another sink, or set sink.ifExists: Overwrite to delete its content"
_SHOWN_DIGITS = 12


class Components(Spec, frozen=True, kw_only=True):
    """What the rows depend on."""

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
    """fp32, bf16, fp16 or int8."""
    labels: str
    """Digest of the labels."""
    classes: int
    """Number of the model's outputs."""
    output: Output | None = None
    """What the rows hold, with every field of its kind; absent for the five best classes, which all rows held before
    there was a choice."""
    decode: str | None = None
    """What becomes of damaged images; absent if they are refused, as they were before there was a choice."""
    decoder: str | None = None
    """What decodes JPEGs; absent if CPUs do, as they did before there was a choice."""
    color: str | None = None
    """What becomes of colour profiles; absent if they are ignored, as they were before there was a choice."""
    keep: tuple[str, ...] | None = None
    """The columns of source.keep; absent if there are none."""
    kept: str | None = None
    """Digest of the images' names and the columns of source.keep; absent if they follow from the URIs."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hex over all components."""
        return hashlib.sha256(json.dumps(self.document(), sort_keys=True).encode()).hexdigest()


class SinkManifest(Spec, frozen=True, kw_only=True):
    """The content of `_dueby/job.json`."""

    format_version: int = FORMAT_VERSION
    """Version of the parts' layout."""
    job: str
    """Name of the job that created it."""
    fingerprint: str
    """Fingerprint of the components."""
    components: Components
    """What the rows depend on."""
    images: Count
    """N."""
    part_size: Count
    """Images in a part."""
    uid: Uid | None = None
    """The InferenceJob that created it; absent if it was a run without a cluster, or a DueBy that didn't record it."""
    generation: Count | None = None
    """Which of the sink's generations its rows are; absent for the first one."""
    first_image: Count | None = None
    """Images of the generations before it; absent if there are none."""

    @property
    def grid(self) -> Grid:
        mark = hashlib.sha256(self.uid.encode()).hexdigest()[:MARK_DIGITS] if self.uid else ""
        return Grid(
            images=self.images,
            part_size=self.part_size,
            mark=mark,
            generation=self.generation or 1,
            first_image=self.first_image or 0,
        )


def components_of(
    known: "KnownModel", model: Model, source: Source, *, index_digest: str, kept_digest: str
) -> Components:
    """Return the components of a job with this model over this index of this source."""
    return Components(
        index=index_digest,
        weights=known.weights_digest,
        model=known.name,
        # By way of JSON, so that tuples become lists and equal what is read back.
        preprocessing=json.loads(json.dumps(known.preprocessing.document())),
        image_size=model.image_size,
        precision=model.precision,
        labels=hashlib.sha256("\n".join(known.labels).encode()).hexdigest(),
        classes=len(known.labels),
        output=None if known.output.is_usual else known.output,
        decode=None if source.decode == "strict" else source.decode,
        decoder=None if source.decoder == "cpu" else source.decoder,
        color=None if source.color == "stored" else source.color,
        keep=source.keep or None,
        kept=kept_digest or None,
    )


def encode_sink_manifest(manifest: SinkManifest) -> bytes:
    """Return the file's content."""
    return json.dumps(manifest.document(), indent=2).encode()


def decode_sink_manifest(data: bytes, *, sink: str) -> SinkManifest:
    """Return the file's content as a SinkManifest. Raise Invalid if it is something else."""
    origin = f"{SINK_FIELD}: {SINK_MANIFEST} in {sink}"
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Invalid(origin, f"is not JSON ({error}); {ADVICE}") from None
    # The version comes first, because another version may have other fields.
    if isinstance(document, dict) and document.get("formatVersion") != FORMAT_VERSION:
        raise Invalid(
            origin,
            f"has format version {document.get('formatVersion')}, but this DueBy writes version {FORMAT_VERSION}; "
            f"{ADVICE}",
        )
    return validate(SinkManifest, document, origin=origin)


def read_newest_data(store: Store) -> tuple[int, bytes | None]:
    """Return the newest generation and its manifest as it stands in the sink; None if no job has used the sink."""
    generation = max(1, newest_generation(store, SINK_MANIFEST))
    return generation, _read(store, generation)


def read_newest_manifest(store: Store) -> SinkManifest | None:
    """Return the manifest of the sink's newest generation; None if no job has used the sink."""
    _, data = read_newest_data(store)
    return None if data is None else decode_sink_manifest(data, sink=store.uri)


def read_sink_manifest(store: Store, generation: int = 1) -> SinkManifest | None:
    """Return the manifest of one of the sink's generations; None if no job has begun that."""
    data = _read(store, generation)
    return None if data is None else decode_sink_manifest(data, sink=store.uri)


def _read(store: Store, generation: int) -> bytes | None:
    try:
        return store.read(path_in(generation, SINK_MANIFEST))
    except NotFound:
        return None


def require_same_job(manifest: SinkManifest, components: Components, *, sink: str, advice: str = ADVICE) -> None:
    """Raise Invalid, with what differs, if the sink's manifest was made with other components."""
    differences = [
        sentence(getattr(manifest.components, name), getattr(components, name))
        for name, sentence in _DIFFERENCES.items()
        if getattr(manifest.components, name) != getattr(components, name)
    ]
    if differences:
        raise Invalid(
            SINK_FIELD, f"{sink} holds the results of another job: {'; '.join(differences)}. To go on, {advice}"
        )


def require_same_rows(before: SinkManifest, known: "KnownModel", model: Model, source: Source, *, sink: str) -> None:
    """Raise Invalid, with what differs, unless the rows of a job are made as those that it adds to."""
    was = before.components
    same = components_of(known, model, source, index_digest=was.index, kept_digest=was.kept or "")
    require_same_job(before, same, sink=sink)


# A sentence for each component that may differ, most telling first.
_DIFFERENCES: dict[str, Callable[[Any, Any], str]] = {
    "index": lambda was, now: f"its images were others (index {was[:_SHOWN_DIGITS]}, now {now[:_SHOWN_DIGITS]})",
    "model": lambda was, now: f"its model was {was} (now {now})",
    "weights": lambda was, now: f"its weights were others ({was[:_SHOWN_DIGITS]}, now {now[:_SHOWN_DIGITS]})",
    "image_size": lambda was, now: f"its image size was {was} (now {now})",
    "output": lambda was, now: f"its rows held {(was or Output()).words} (now {(now or Output()).words})",
    "decode": lambda was, now: f"its source.decode was {was or 'strict'} (now {now or 'strict'})",
    "decoder": lambda was, now: f"its source.decoder was {was or 'cpu'} (now {now or 'cpu'})",
    "color": lambda was, now: f"its source.color was {was or 'stored'} (now {now or 'stored'})",
    "keep": lambda was, now: f"its source.keep was {_listed(was)} (now {_listed(now)})",
    "kept": lambda was, now: "its images had other names, or the columns of source.keep other values",
    "precision": lambda was, now: f"its precision was {was} (now {now})",
    "classes": lambda was, now: f"it had {counted(was, 'class', 'classes')} (now {now})",
    "labels": lambda was, now: "its labels were others",
    "preprocessing": lambda was, now: f"its preprocessing was different ({_changed(was, now)})",
}


def _listed(names: Sequence[str] | None) -> str:
    return f"[{', '.join(names or ())}]"


def _changed(was: dict[str, Any], now: dict[str, Any]) -> str:
    names = sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
    return ", ".join(f"{name} {was.get(name)}, now {now.get(name)}" for name in names)
