"""What a source calls its images, which is what a user's own table knows them by: the rows' column `name`.

    folder, glob      the path below the folder                      cats/1.jpg
    tars              the member's name                              cats/1.jpg
    Parquet, Lance    what the column says that names the images     cat-1
                      without one, FILE#ROW below the folder, or ROW of a Lance dataset
    list              what the list says; the index has it (kept.py) where it isn't the URI

It is derived from the URI, so an index is no larger for it. A name that isn't UTF-8 keeps its percent escapes.
"""

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from dueby_api.source import Source
from dueby_worker.index.shards import names_shards
from dueby_worker.storage.uris import literal_folder, member_uri, split


def namer_of(source: Source) -> Callable[[str], str]:
    """Return the function from an image's URI to what the source, whose own URI is absolute, calls the image."""
    if (uri := source.images_uri) is None:
        return str
    column = source.parquet or source.lance
    if source.lance is not None or (column.name is not None if column is not None else names_shards(uri)):
        return _label
    path = split(uri)[1].rstrip("/")
    # A folder's name may have a [, so the path of an image tells it from a glob.
    fixed = literal_folder(path)

    def below(image: str) -> str:
        found = split(image)[1]
        top = path if found.startswith(f"{path}/") else fixed
        name = found.removeprefix(f"{top}/") if top else found
        return _label(member_uri("", name))

    return below


def _label(image: str) -> str:
    """Return what stands after the last # of a URI, without escapes if it is UTF-8."""
    quoted = image.rpartition("#")[2]
    try:
        return unquote_to_bytes(quoted).decode()
    except UnicodeDecodeError:
        return quoted
