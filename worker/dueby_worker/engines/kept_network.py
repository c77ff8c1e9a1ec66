"""What is known of a network that an engine keeps: a worker that finds one starts without torch and the plain network.

The first worker on a machine loads the plain network, has the engine convert it, and compares the two on its first
mini-batch. That takes some seconds of a core and 350 MiB, and gives the same answer every time, as long as everything
is the same: the network and its weights, the libraries, this code and the processor. So if the two agree, this is noted
under a name that changes with all of these, and later workers open what the engine keeps.

It is noted of torchvision's networks alone. What else networks of timm, transformers and people's own code depend on
is not all known here; ONNX files are read as they are, and int8 networks are in the job's sink.
"""

import hashlib
import json
import platform
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from dueby_api.classifiers import source_of
from dueby_api.engines import ENGINES, EngineName, Precision
from dueby_api.errors import DueByError, Invalid
from dueby_api.schema import Spec, decode
from dueby_api.step_messages import ParityCheck
from dueby_worker.models.facts import KnownModel, stamps_of
from dueby_worker.system.cache_folder import usable_cache
from dueby_worker.system.temporary_files import read_whole, write_whole

_FOLDER = "networks"
_KEEPING: tuple[EngineName, ...] = ("openvino", "ncnn")
# What /proc/cpuinfo says of a processor that computes differently, on x86-64 and on ARM.
_PROCESSOR = ("vendor_id", "cpu family", "model", "stepping", "flags", "CPU implementer", "CPU part", "Features")


class NetworkNote(Spec, frozen=True, kw_only=True):
    """What is noted: where the network is, and how far it was from plain fp32."""

    entry: str
    """The folder of the network, relative to the cache folder."""
    parity: ParityCheck
    """The answer of the comparison, which was within its limits."""


@dataclass(frozen=True, kw_only=True)
class KeptNetwork:
    """A network that is kept, with the model that it is of."""

    model: KnownModel
    entry: Path
    """The folder that the engine keeps it in."""
    parity: ParityCheck
    """How far it was from plain fp32 when this machine compared them."""


def may_be_kept(engine: EngineName, model: str, precision: Precision) -> bool:
    """Return whether the engine's network of a model of this name is one that later workers may open."""
    return engine in _KEEPING and precision != "int8" and source_of(model) is None


def damaged_network(folder: Path) -> DueByError:
    """Return what is to be said of a network in this folder that its engine can't read."""
    return DueByError(f"the converted network in {folder} is damaged; delete the folder, and it is converted again")


def recall_network(
    model: KnownModel, *, engine: EngineName, precision: Precision, cache_dir: Path | None
) -> KeptNetwork | None:
    """Return the model's network, if it is kept and agreed with plain fp32."""
    if (folder := usable_cache(cache_dir)) is None or not may_be_kept(engine, model.name, precision):
        return None
    try:
        place = _place(model, engine, precision, folder)
        noted = decode(NetworkNote, read_whole(place), origin=str(place))
    except (OSError, Invalid):  # nothing is there, or what another version has noted
        return None
    entry = folder / noted.entry
    is_within = entry.resolve().is_relative_to(folder.resolve())
    return KeptNetwork(model=model, entry=entry, parity=noted.parity) if is_within and entry.is_dir() else None


def note_network(
    model: KnownModel,
    parity: ParityCheck,
    *,
    entry: Path,
    engine: EngineName,
    precision: Precision,
    cache_dir: Path | None,
) -> None:
    """Note how far the network that the engine keeps in `entry` is from plain fp32, if that is within its limits."""
    folder = usable_cache(cache_dir)
    if folder is None or not may_be_kept(engine, model.name, precision) or not parity.ok or not entry.is_dir():
        return
    noted = NetworkNote(entry=str(entry.relative_to(folder)), parity=parity)
    # What can't be noted costs the next worker some seconds, and this job nothing.
    with suppress(OSError):
        write_whole(_place(model, engine, precision, folder), json.dumps(noted.document()).encode())


def _place(model: KnownModel, engine: EngineName, precision: Precision, folder: Path) -> Path:
    """Return the path of what is noted. Raise OSError if a file of this code is gone."""
    question = {
        "model": model.document(),
        "engine": engine,
        "precision": precision,
        "libraries": [version(package) for package in ENGINES[engine].packages],
        "code": [stamp.document() for stamp in stamps_of(sorted(Path(__file__).parent.glob("*.py")))],
        "processor": _processor(),
    }
    return folder / _FOLDER / f"{hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()}.json"


def _processor() -> list[str]:
    """Return what this machine's first processor is, and what instructions it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    except OSError:
        lines = []
    return [platform.machine(), *(line for line in lines if line.partition(":")[0].strip() in _PROCESSOR)]
