"""What the fingerprint of a job needs of its model, kept from the last time that it was loaded on this machine.

The index step needs no network, but labels, preprocessing and the digest of the weights, and to load a network for them
takes seconds, in which the job's devices wait. So whoever loads a model notes these in the folder for what takes time
once, with every file that they depend on: weights, labels, torch, and the code beside this file. What is noted holds as
long as none of the files was touched. Where nothing is noted, the model is loaded.

Every worker loads its model and computes the fingerprint itself. If it should ever differ from what was noted, the
worker refuses the job, and has noted the right one before.
"""

import hashlib
import json
import logging
import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_api.output import Output
from dueby_api.schema import decode
from dueby_worker.models.facts import KnownModel, stamps_of
from dueby_worker.system.cache_folder import usable_cache
from dueby_worker.system.temporary_files import read_whole, write_whole

# Whoever knows the model already is spared torch.
if TYPE_CHECKING:
    from dueby_worker.models.loading import LoadedModel

_FOLDER = "models"
_LIBRARIES = ("torch", "torchvision")
log = logging.getLogger(__name__)


def know_model(spec: Model, output: Output, cache_dir: Path | None) -> KnownModel:
    """Return what is noted of the model with this output, and log its warnings; load and note it if nothing is.

    Raise Invalid if the job or its weights are wrong.
    """
    if (noted := recall_model(spec, output, cache_dir)) is not None:
        noted.log_warnings()
        return noted
    from dueby_worker.models.loading import load_model

    return note_model(spec, load_model(spec, output), cache_dir)


def is_known(spec: Model, output: Output, cache_dir: Path | None) -> bool:
    """Return whether something is noted of the model with this output, and holds."""
    return recall_model(spec, output, cache_dir) is not None


def note_model(spec: Model, loaded: "LoadedModel", cache_dir: Path | None) -> KnownModel:
    """Return what is to be known of a model that was loaded; note it in `cache_dir`, if there is one.

    Nothing is noted of a model whose files only another library knows.
    """
    libraries = [Path(module.origin) for name in _LIBRARIES if (module := find_spec(name)) and module.origin]
    code = stamps_of([*libraries, *sorted(Path(__file__).parent.glob("*.*"))])
    known = KnownModel(**{field: getattr(loaded, field) for field in KnownModel.__struct_fields__})
    facts = known.replace(files=(*(loaded.files or ()), *code))
    folder = None if loaded.files is None else usable_cache(cache_dir)
    if folder is not None and facts != recall_model(spec, loaded.output, folder):
        # What can't be noted costs the next index step some seconds, and this job nothing.
        with suppress(OSError):
            write_whole(_place(spec, loaded.output, folder), json.dumps(facts.document()).encode())
    return facts


def recall_model(spec: Model, output: Output, cache_dir: Path | None) -> KnownModel | None:
    """Return what is noted of the model; None if nothing is, or if a file has changed since."""
    if (cache_dir := usable_cache(cache_dir)) is None:
        return None
    place = _place(spec, output, cache_dir)
    try:
        noted = decode(KnownModel, read_whole(place), origin=str(place))
        is_as_it_was = noted.files == stamps_of(Path(stamp.path) for stamp in noted.files or ())
    except (OSError, Invalid):  # nothing is there, or what another version has noted; or a file is gone
        return None
    return noted if is_as_it_was else None


def _place(spec: Model, output: Output, cache_dir: Path) -> Path:
    """Return the path of what is noted of the model with this output, in whatever folder the job was started."""
    model = [spec.name, _absolute(spec.weights), spec.image_size, _absolute(spec.labels), spec.classes]
    question = [*model, output.resolved.document()]
    return cache_dir / _FOLDER / f"{hashlib.sha256(json.dumps(question).encode()).hexdigest()}.json"


def _absolute(written: str | None) -> str | None:
    """Return the path of a file in full, and whatever else as it is, such as the name of weights."""
    path = os.path.expanduser(written or "")
    return os.path.abspath(path) if os.path.isfile(path) else written
