"""List the absolute URIs of a source's images, in no particular order, one at a time.

A source is a folder, a glob, a single file, or a manifest, which is a list of images. Tars are listed by shards.py,
Parquet files of images by parquet_listing.py, and Lance datasets by lance_listing.py.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_api.source import Source
from dueby_worker.index.chunks import Row
from dueby_worker.index.globs import IMAGE_EXTENSIONS, Selection, is_image_name, select
from dueby_worker.index.kept import FIELD as KEEP_FIELD
from dueby_worker.index.kept import KeptColumns
from dueby_worker.index.parquet_listing import FIELD as PARQUET_FIELD
from dueby_worker.index.shards import FIELD, names_shards
from dueby_worker.index.source_manifest import FIELD as MANIFEST_FIELD
from dueby_worker.index.source_manifest import list_source_manifest
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import ListingAnswers, Unavailable
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import below, canonical_uri, is_glob, split

_EXTENSIONS = ", ".join(sorted(IMAGE_EXTENSIONS))
# Endings that a sentence names, the most common ones first, those that are counted, and what one may look like.
_SHOWN_ENDINGS, _MOST_ENDINGS = 5, 1000
_ENDING = re.compile(r"\.[a-z0-9_]{1,12}")
# Of the digest of what a store says of a file: that a change goes unseen has a probability of 2^-64.
_VERSION_DIGITS = 16


class Unlisted:
    """Counts the files of a folder that are no images by their endings."""

    def __init__(self) -> None:
        self._endings = Counter[str]()

    def add(self, path: str) -> None:
        """Count the file, unless it is hidden."""
        name = path.rpartition("/")[2]
        if not any(part.startswith(".") for part in path.split("/")):
            ending = name[name.rindex(".") :].lower() if "." in name else ""
            # Names such as 1.2.840.11 have as many endings as there are files.
            has_room = ending in self._endings or len(self._endings) < _MOST_ENDINGS
            self._endings[ending if has_room and _ENDING.fullmatch(ending) else ""] += 1

    def __str__(self) -> str:
        """Return how many there are of which ending: `3 .txt, 1 without an ending`."""
        counts = sorted(self._endings.items(), key=lambda counted: (-counted[1], counted[0]))
        named = [(ending, count) for ending, count in counts if ending][:_SHOWN_ENDINGS]
        others = self._endings.total() - sum(count for _, count in named)
        rest = "without an ending" if others == self._endings[""] else "others"
        words = [f"{count:,} {ending}" for ending, count in named] + ([f"{others:,} {rest}"] if others else [])
        return ", ".join(words)


def canonical_source(source: Source) -> Source:
    """Return the source as an index knows it, which is the same for all jobs over the same images.

    Its URIs are absolute, so that they mean the same in any working directory. It doesn't say how to decode, nor what
    happens if that fails.
    """
    source = source.replace(decode="strict", decoder="cpu", color="stored", allow_unreadable=False)
    if source.manifest is not None:
        return source.replace(manifest=source.manifest.replace(uri=_canonical(source.manifest.uri, MANIFEST_FIELD)))
    if source.parquet is not None:
        return source.replace(parquet=source.parquet.replace(uri=_canonical(source.parquet.uri, PARQUET_FIELD)))
    if source.lance is not None:
        return source.replace(lance=source.lance.replace(uri=_canonical(source.lance.uri, source.images_field)))
    return source.replace(uri=_canonical(source.uri, FIELD)) if source.uri is not None else source


def shards_of(source: Source) -> str | None:
    """Return the absolute URI of the source's tars; None if it isn't one of tars. Raise Invalid if it is wrong."""
    uri = None if source.uri is None else _canonical(source.uri, FIELD)
    return uri if uri is not None and names_shards(uri) else None


def list_source(
    source: Source,
    *,
    scratch: Path,
    retry: RetryPolicy,
    kept: KeptColumns,
    unlisted: Unlisted | None = None,
    with_versions: bool = False,
    answers: ListingAnswers | None = None,
) -> Iterator[Row]:
    """Yield every image of the source, and count the files that are none. Raise Invalid if the source is wrong.

    With versions, images in a folder have them. What `answers` have of a bucket isn't asked for again.
    """
    if source.manifest is not None:
        manifest = source.manifest.replace(uri=_canonical(source.manifest.uri, MANIFEST_FIELD))
        return list_source_manifest(manifest, scratch=scratch, retry=retry, kept=kept)
    if source.keep:
        raise Invalid(KEEP_FIELD, f"{source.uri} has no columns; leave it out, or name the images in a list")
    uri = _canonical(source.uri or "", FIELD)
    return _list_uri(uri, retry=retry, unlisted=unlisted or Unlisted(), with_versions=with_versions, answers=answers)


def _list_uri(
    uri: str, *, retry: RetryPolicy, unlisted: Unlisted, with_versions: bool, answers: ListingAnswers | None
) -> Iterator[Row]:
    root, path = split(uri)
    store = open_store(root, field=FIELD, retry=retry)
    store.answers = answers
    try:
        # Folders and files come before globs, because their names may contain a [.
        is_folder = store.is_folder(path)
        if not is_folder and store.exists(path):
            _require_image(path)
            yield Row(store.uri_of(path))
            return
        wanted = Selection(folder=path.rstrip("/"), pattern=None) if is_folder else select(path)
        versions = store.walk_versions(wanted.folder) if with_versions else zip(store.walk(wanted.folder), repeat(""))
        for name, version in versions:
            if name in wanted:
                digest = hashlib.sha256(version.encode()).hexdigest()[:_VERSION_DIGITS] if version else ""
                yield Row(store.uri_of(below(wanted.folder, name)), version=digest)
            elif is_folder:
                unlisted.add(name)
    except (ValueError, Unavailable) as error:
        raise Invalid(FIELD, f"{uri}: {error}") from None


def _require_image(path: str) -> None:
    if not is_image_name(path):
        raise ValueError(
            f"is a single file without an image's extension; if it is a list of images, name it in {MANIFEST_FIELD}"
        )


def _canonical(uri: str, field: str) -> str:
    try:
        return canonical_uri(uri)
    except ValueError as error:
        raise Invalid(field, str(error)) from None


def field_of(source: Source) -> str:
    """Return the field that says where the images are."""
    return MANIFEST_FIELD if source.manifest is not None else source.images_field


def why_empty(source: Source) -> str:
    """Return why a source without images may have none."""
    if source.manifest is not None:
        return f"{source.manifest.uri} has no rows"
    if source.parquet is not None:
        return f"{source.parquet.uri} means no Parquet file, or none that has rows"
    if source.lance is not None:
        return f"{source.lance.uri} has no rows"
    uri = source.uri or ""
    if shards_of(source) is not None:
        return f"{uri} means no tar, or none in which a name has an image's extension ({_EXTENSIONS})"
    if is_glob(uri):
        return f"nothing matches {uri} (* matches within a folder, ** matches any number of folders)"
    return f"no file below {uri} has an image's extension ({_EXTENSIONS})"
