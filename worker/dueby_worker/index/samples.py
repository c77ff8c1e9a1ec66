"""What webdataset writes beside an image in a tar: files of the same name up to its first dot, such as a.cls, a.json.

A column of `source.keep` is what the file with this ending says (cls, txt), or else the value of this key in the .json.
The files of an image stand together in the tar, in any order.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from dueby_api.errors import first_line
from dueby_worker.index.kept import KeptColumns, kept_text
from dueby_worker.index.tar_members import MAX_BESIDE, Beside, Found

_JSON = "json"
# Images of one name, such as a photo and its mask.
_MAX_IMAGES = 1000


def ending_of(name: str) -> str:
    """Return what follows the first dot of a member's name."""
    return name.rpartition("/")[2].partition(".")[2].lower()


def wants(name: str, kept: KeptColumns) -> bool:
    """Return whether a member that is no image is read."""
    return bool(kept.names) and (ending := ending_of(name)) != "" and (ending == _JSON or ending in kept.names)


def with_kept(members: Iterable[Found | Beside], kept: KeptColumns) -> Iterator[tuple[Found, str]]:
    """Yield each image with the text of what is kept of it. Raise ValueError for a file that can't be read."""
    if not kept.names:
        yield from ((member, "") for member in members if isinstance(member, Found))
        return
    for _, sample in groupby(members, key=lambda member: _key_of(member.name)):
        images: list[Found] = []
        files: dict[str, Beside] = {}
        for member in sample:
            if isinstance(member, Beside):
                files[ending_of(member.name)] = member
            else:
                images.append(member)
            if len(images) > _MAX_IMAGES:
                raise ValueError(
                    f"has more than {_MAX_IMAGES:,} images that are called {_key_of(member.name)!r} up to the first "
                    "dot, and what is beside one of them can't be told; leave out source.keep"
                )
        if images:
            values = _values_of(files, kept)
            yield from ((image, kept_text(None, values, kept.names, where=repr(image.name))) for image in images)


def _values_of(files: Mapping[str, Beside], kept: KeptColumns) -> list[Any]:
    """Return what the files beside an image, by their endings, say of it."""
    keys = _keys_of(files[_JSON]) if _JSON in files else {}
    kept.see((*files, *keys))
    kept.untyped.update(files.keys() & set(kept.names))
    return [_text_of(files[name]) if name in files else keys.get(name) for name in kept.names]


def _key_of(name: str) -> str:
    """Return the member's name up to the first dot after its folder."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _text_of(member: Beside) -> str:
    if len(member.data) > MAX_BESIDE:
        raise ValueError(f"{member.name!r} in it has more than {MAX_BESIDE:,} bytes; leave out source.keep")
    try:
        return member.data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{member.name!r} in it is not UTF-8 text; leave out source.keep") from None


def _keys_of(member: Beside) -> dict[str, Any]:
    """Return what the JSON says; nothing if it is no object."""
    try:
        keys = json.loads(_text_of(member))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{member.name!r} in it is not JSON ({first_line(error)}); leave out source.keep") from None
    return keys if isinstance(keys, dict) else {}
