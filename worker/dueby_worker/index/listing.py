"""The absolute URIs of a source's images, in no particular order, one at a time."""

from collections.abc import Iterator
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_api.inference_job import Source
from dueby_worker.index.globs import IMAGE_EXTENSIONS, Selection, has_magic, is_image_name, select
from dueby_worker.index.source_manifest import FIELD as MANIFEST_FIELD
from dueby_worker.index.source_manifest import list_manifest
from dueby_worker.storage.retry import Patience
from dueby_worker.storage.store import Unavailable
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import canonical_uri, split

FIELD = "spec.source.uri"


def canonical_source(source: Source) -> Source:
    """The source with absolute URIs, as it reads from any working directory."""
    if source.manifest is not None:
        return source.replace(manifest=source.manifest.replace(uri=_canonical(source.manifest.uri, MANIFEST_FIELD)))
    return source.replace(uri=_canonical(source.uri, FIELD)) if source.uri is not None else source


def list_source(source: Source, *, scratch: Path, patience: Patience) -> Iterator[str]:
    """Every image of the source; Invalid names the field and says what is wrong with it."""
    if source.manifest is not None:
        return list_manifest(_canonical(source.manifest.uri, MANIFEST_FIELD), scratch=scratch, patience=patience)
    return _list_folder(_canonical(source.uri or "", FIELD), patience=patience)


def _list_folder(uri: str, *, patience: Patience) -> Iterator[str]:
    root, path = split(uri)
    store = open_store(root, field=FIELD, patience=patience)
    try:
        # A folder or a file may have a [ in its name and be no glob.
        is_folder = store.is_folder(path)
        if not is_folder and store.exists(path):
            _require_image(path)
            yield store.uri_of(path)
            return
        wanted = Selection(folder=path.rstrip("/"), pattern=None) if is_folder else select(path)
        for name in store.walk(wanted.folder):
            if name in wanted:
                yield store.uri_of(f"{wanted.folder}/{name}".lstrip("/"))
    except (ValueError, Unavailable) as error:
        raise Invalid(FIELD, f"{uri}: {error}") from None


def _require_image(path: str) -> None:
    if not is_image_name(path):
        raise ValueError(
            "is one file, and no image by its extension; a list of images goes into spec.source.manifest.uri"
        )


def _canonical(uri: str, field: str) -> str:
    try:
        return canonical_uri(uri)
    except ValueError as error:
        raise Invalid(field, str(error)) from None


def field_of(source: Source) -> str:
    """The field that says where the images are."""
    return MANIFEST_FIELD if source.manifest is not None else FIELD


def emptiness_of(source: Source) -> str:
    """Why there may be none."""
    if source.manifest is not None:
        return f"{source.manifest.uri} has no rows"
    uri = source.uri or ""
    if has_magic(uri):
        return f"nothing matches {uri} (* stays within a folder, ** is any number of folders)"
    return f"no file below {uri} has an image's extension ({', '.join(sorted(IMAGE_EXTENSIONS))})"
