"""List the images in tar shards, as webdataset writes them: which tars a URI names, and what is in each.

`s3://bucket/{000..127}.tar` names tars by braces, `s3://bucket/*.tar` by a glob, and both may stand in one URI. The
order is that of the URI, and in a tar that of the tar: it is the order in which workers read, so it isn't sorted.

Tars are listed side by side (objects.py), since a tar's headers have to be read one after another.
"""

import json
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_worker.images.members import TarMember
from dueby_worker.index.braces import expand
from dueby_worker.index.chunks import Row
from dueby_worker.index.kept import KeptColumns
from dueby_worker.index.objects import ListedObject, find_objects, list_each
from dueby_worker.index.samples import wants, with_kept
from dueby_worker.index.tar_members import UNPACK, list_members
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import ListingAnswers, Store, Unavailable
from dueby_worker.storage.stores import open_store
from dueby_worker.storage.uris import member_uri, split

FIELD = "spec.source.uri"
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tar.lz4")


def names_shards(uri: str) -> bool:
    """Return whether the absolute URI names tars. Raise Invalid if it names compressed ones."""
    try:
        first = next(iter(expand(split(uri)[1]))).lower()
    except ValueError:
        # It is a glob, whose reader says what is wrong with its braces.
        return False
    if first.endswith(_COMPRESSED):
        raise Invalid(FIELD, f"{uri} is compressed: {UNPACK}")
    return first.endswith(".tar")


def list_shards(
    uri: str, *, scratch: Path, retry: RetryPolicy, kept: KeptColumns, answers: ListingAnswers | None = None
) -> Iterator[Row]:
    """Yield each image's URI and where it is. Raise Invalid, with the shard, if one is missing or damaged.

    A tar that `answers` know as it is now isn't read again.
    """
    root, path = split(uri)
    store = open_store(root, field=FIELD, retry=retry)
    # Columns of source.keep are noted while a tar is read.
    store.answers = None if kept.names else answers
    try:
        shards = find_objects(store, path, kind="tars", require=_require_tar)
        yield from list_each(shards, partial(_list, store, kept), _read, scratch=scratch)
    except (ValueError, Unavailable) as error:
        raise Invalid(FIELD, f"{uri}: {error}") from None


def _require_tar(name: str) -> None:
    if not name.lower().endswith(".tar"):
        raise ValueError(f"{name} isn't named .tar, and the first one is; all must be tars, or none")


def _list(store: Store, kept: KeptColumns, shard: str, file: Path, stop: threading.Event) -> Path:
    """Write what is in the tar to the file: its URI and version, and a line for each image."""
    listed = ListedObject(store, shard, stop)
    uri = store.uri_of(shard)
    try:
        version = listed.version()
        question = json.dumps(["tar", uri, str(version)])
        if store.answers is not None and (answer := store.answers.find(question)) is not None:
            file.write_text(answer, encoding="utf-8")
            return file
        with file.open("w", encoding="utf-8") as lines:
            print(json.dumps([uri, str(version)]), file=lines)
            members = list_members(
                listed.read, size=version.size, block_bytes=store.request_bytes, wants=partial(wants, kept=kept)
            )
            for member, said in with_kept(members, kept):
                place = (member.offset, member.length, member.header)
                print(json.dumps([member_uri(uri, member.name), *place, said]), file=lines)
    except (ValueError, Unavailable) as error:
        raise Invalid(FIELD, f"{uri}: {error}") from None
    if store.answers is not None:
        store.answers.keep(question, file.read_text(encoding="utf-8"))
    return file


def _read(file: Path) -> Iterator[Row]:
    """Yield what is in the file, and delete it."""
    with file.open(encoding="utf-8") as lines:
        shard, version = json.loads(next(lines))
        for line in lines:
            uri, offset, length, header, said = json.loads(line)
            place = TarMember(shard=shard, version=version, offset=offset, length=length, header=header)
            yield Row(uri, place, said)
    file.unlink()
