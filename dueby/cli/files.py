"""Manifests and profiles in YAML files: reading them with the file and the line in every error, and writing them.

JSON is read too, since it is YAML, and so is the List that `kubectl get -o yaml` prints.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, parse_profile
from dueby_api.inference_job import InferenceJob, parse_job
from dueby_profiler.files import write_text

# libyaml's loader is ten times as fast as Python's, but PyYAML is built without it on some platforms.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SUFFIXES = (".yaml", ".yml", ".json")


def read_job(path: str) -> InferenceJob:
    """Return the one InferenceJob in the file; `-` is standard input."""
    documents = list(_documents(path))
    if len(documents) != 1:
        raise Invalid(path, f"expected one InferenceJob, found {len(documents)} documents")
    return parse_job(documents[0], origin=path)


def read_profiles(paths: Sequence[str]) -> list[GPUProfile]:
    """Return every GPUProfile in the files and folders.

    Other kinds in a folder are skipped: a user may keep jobs beside the profiles. Another kind in a file that is named
    itself is an error.
    """
    profiles = []
    for path in paths:
        if os.path.isdir(path):
            files = sorted(str(p) for p in Path(path).iterdir() if p.suffix in _SUFFIXES)
            found = [
                (f, d) for f in files for d in _documents(f) if isinstance(d, dict) and d.get("kind") == "GPUProfile"
            ]
        else:
            found = [(path, document) for document in _documents(path)]
        profiles += [parse_profile(document, origin=file) for file, document in found]
    return profiles


def write_profile(profile: GPUProfile, folder: Path) -> Path:
    """Write the profile as NAME.yaml, whole or not at all, and return the path."""
    return write_text(folder / f"{profile.name}.yaml", to_yaml(profile.document()))


def to_yaml(document: Any) -> str:
    """Return the document as YAML, with its fields in their order."""
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120))


def profile_home() -> Path:
    """Return the folder of this machine's profiles, which is used if no other one is named."""
    if named := os.environ.get("DUEBY_PROFILES"):
        return Path(named)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "dueby" / "profiles"


def require_folder(folder: Path) -> None:
    """Create the folder of --output; raise Invalid if it can't be, now rather than after minutes of measuring."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid("--output", f"{folder} can't be created: {error.strerror}") from None


def _documents(path: str) -> Iterator[Any]:
    for document in _parse(path):
        if (
            isinstance(document, dict)
            and isinstance(document.get("items"), list)
            and str(document.get("kind")).endswith("List")
        ):
            yield from document["items"]
        elif document is not None:
            yield document


def _parse(path: str) -> Iterable[Any]:
    try:
        text = _text(path)
        return list(yaml.load_all(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f" in line {mark.line + 1}" if mark else ""
        raise Invalid(path, f"is not YAML{where}: {error.problem or 'it ends too early'}") from None
    except yaml.YAMLError as error:
        raise Invalid(path, f"is not YAML: {error}") from None
    except UnicodeDecodeError:
        raise Invalid(path, "is not a text file") from None
    except OSError as error:
        raise Invalid(path, f"can't be read: {error.strerror}") from None


def _text(path: str) -> str:
    if path == "-":
        import sys

        return sys.stdin.read()
    return Path(path).read_text(encoding="utf-8")
