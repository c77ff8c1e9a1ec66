"""Manifests and profiles in YAML files: reading them with the file and the line in every error, and writing them.

JSON is read too, since it is YAML, and so is the List that `kubectl get -o yaml` prints.
"""

import json
import os
import sys
import tempfile
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from dueby.inputs.yaml_text import parse_yaml
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import GPUProfile, parse_profile
from dueby_api.inference_job import InferenceJob
from dueby_profiler.files import write_text

# Characters of a file. A List of a thousand profiles has 10 million.
MAX_PROFILES = 2**26
# Names the folder of this machine's profiles.
PROFILES_VARIABLE = "DUEBY_PROFILES"
SUFFIXES = (".yaml", ".yml", ".json")


def read_profiles(paths: Sequence[str]) -> list[GPUProfile]:
    """Return every GPUProfile in the files and folders.

    Other kinds in a folder are skipped: a user may keep jobs beside the profiles. Another kind in a file that is named
    itself is an error.
    """
    profiles = []
    for path in paths:
        if os.path.isdir(path):
            documents = [
                (origin, document)
                for file in _files_in(path)
                for origin, document in documents_in(file, most=MAX_PROFILES)
                if isinstance(document, dict) and document.get("kind") == "GPUProfile"
            ]
        else:
            documents = list(documents_in(path, most=MAX_PROFILES))
        profiles += [parse_profile(document, origin=origin) for origin, document in documents]
    return profiles


def documents_in(path: str, *, most: int) -> Iterator[tuple[str, Any]]:
    """Yield the documents in the file, those of a List each for itself, with what to call each in an error.

    Those that are empty don't count. Raise Invalid if the file has more than so many characters, or is no YAML.
    """
    documents = [document for document in parse_yaml(read_text(path, most=most), origin=path) if document is not None]
    for number, document in enumerate(documents, 1):
        yield from _items(path if len(documents) == 1 else f"{path}, document {number}", document)


def read_text(path: str, *, most: int) -> str:
    """Return the file's text; `-` is standard input. Raise Invalid if it can't be read or has more characters."""
    try:
        if path == "-":
            text = sys.stdin.read(most + 1)
        else:
            with open(path, encoding="utf-8") as file:
                text = file.read(most + 1)
    except UnicodeDecodeError:
        raise Invalid(path, "is not a text file") from None
    except OSError as error:
        raise Invalid(path, f"can't be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise Invalid(path, f"can't be read: {error}") from None
    if len(text) > most:
        raise Invalid(path, f"has more than {most:,} characters; no such file needs so many")
    return text


def write_profile(profile: GPUProfile, folder: Path) -> Path:
    """Write the profile as NAME.yaml, whole or not at all, and return the path."""
    with sole_writer(folder):
        return write_text(folder / f"{profile.name}.yaml", to_yaml(profile.document()))


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Wait until no other command changes profiles in the folder, and let none do so within the block.

    The folder is made if need be.
    """
    import fcntl  # other systems than Linux and macOS lack it, and read profiles all the same

    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems can't lock a folder. There, of two runs that end at once one may go unnoted.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def to_yaml(document: Any) -> str:
    """Return the document as YAML, with its fields in their order."""
    # PyYAML writes Unicode's own line breaks as they are, and reads them as others.
    text = json.dumps(document, ensure_ascii=False, default=str)
    is_plain = not any(line_break in text for line_break in "\x85\u2028\u2029")
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=is_plain, width=120))


def without_secrets(job: InferenceJob) -> dict[str, Any]:
    """Return the manifest as it is kept beside the results: its environment variables have no values."""
    document = job.document()
    for variable in document["spec"]["worker"]["env"]:
        variable.pop("value", None)
    return document


def profile_home() -> Path:
    """Return the folder of this machine's profiles, which is used if no other one is named."""
    if named := os.environ.get(PROFILES_VARIABLE):
        return Path(named)
    return user_folder("XDG_DATA_HOME", ".local/share") / "dueby" / "profiles"


def user_folder(variable: str, usual: str) -> Path:
    """Return the user's folder that the variable names, or else the usual one in their home.

    Raise Invalid if they have none.
    """
    if named := os.environ.get(variable):
        return Path(named)
    try:
        return Path.home() / usual
    except RuntimeError:  # as of a user of a container whom nobody has given a name
        raise Invalid(variable, "is missing, and this user has no home; name a folder that can be written to") from None


def folder_name(text: str) -> Path:
    """Return the folder that --output names, for argparse; an empty name, as of an unset variable, is refused."""
    if not text:
        raise ArgumentTypeError("is empty; name a folder, or . for this one")
    return Path(text)


def require_folder(folder: Path, *, field: str = "--output") -> None:
    """Create the folder that the field names; raise Invalid if that fails, or if nothing can be written into it.

    It is tried now, so that nobody learns of it after minutes of measuring.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Invalid(field, f"{folder} can't be created: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise Invalid(field, f"{str(folder)!r} can't be created: {error}") from None
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"probe")
    except OSError as error:
        raise Invalid(field, f"nothing can be written into {folder}: {error.strerror}") from None


def _files_in(folder: str) -> list[str]:
    try:
        # Whatever else has such a name, a pipe or a folder, holds no profile.
        return sorted(str(path) for path in Path(folder).iterdir() if path.suffix in SUFFIXES and path.is_file())
    except OSError as error:
        raise Invalid(folder, f"can't be read: {error.strerror}") from None


def _items(origin: str, document: Any) -> Iterator[tuple[str, Any]]:
    if (
        isinstance(document, dict)
        and isinstance(document.get("items"), list)
        and str(document.get("kind")).endswith("List")
    ):
        for number, item in enumerate(document["items"], 1):
            yield from _items(f"{origin}, item {number}", item)
    else:
        yield origin, document
