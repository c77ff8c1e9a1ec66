"""Where a job reads and writes, as its URIs say it: what no store could be, and a sink that is its own source.

Only texts are compared here, since a cluster's folders are not this machine's. A relative path and an absolute one are
taken to differ; whoever knows the working directory makes both absolute first.
"""

import posixpath
import re
from dataclasses import dataclass

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
# A path with one of these is a glob.
GLOB_CHARACTERS = re.compile(r"[*?\[{]")
_OWN_FOLDER = "give the results a folder of their own"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A folder or an object."""

    scheme: str
    names: tuple[str, ...]
    """Of the bucket, the folders and the object, from the outermost on."""

    def holds(self, other: "Place") -> bool:
        """Return whether the other is this one, or lies in it."""
        names, below = other.names[: len(self.names)], other.names[len(self.names) :]
        # A relative path that leads upwards does not stay below where it begins.
        return self.scheme == other.scheme and names == self.names and ".." not in below


def require_name(field: str, uri: str) -> None:
    """Raise ValueError, with the field, if no store can have an object of this name."""
    if "\0" in uri:
        raise ValueError(f"{field}: has a NUL character, which no file and no object can have in its name")


def require_folder(field: str, uri: str) -> None:
    """Raise ValueError, with the field, if the URI is one of many objects, or of none."""
    require_name(field, uri)
    if "*" in uri or "?" in uri:
        raise ValueError(f"{field}: {_short(uri)} is a glob, but results go to one folder; leave out * and ?")


def require_apart(field: str, sink: str, *, source: str | None, manifest: str | None) -> None:
    """Raise ValueError, with the field, if the sink is the source (a folder, a glob or an image) or its list of
    images, lies in it or contains it.
    """
    place = place_of(sink)
    if manifest and place_of(manifest).holds(place):
        raise ValueError(f"{field}: {_short(sink)} is the list of images; {_OWN_FOLDER}")
    if source:
        folder, is_deep = _folder_of(source)
        if folder == place:
            raise ValueError(f"{field}: {_short(sink)} is the folder of the source; {_OWN_FOLDER}")
        if place.holds(folder):
            raise ValueError(f"{field}: {_short(sink)} contains the source, {_short(source)}; {_OWN_FOLDER}")
        if is_deep and folder.holds(place):
            raise ValueError(f"{field}: {_short(sink)} lies in the source, {_short(source)}; {_OWN_FOLDER}")


def place_of(uri: str) -> Place:
    """Return the place that the URI names, however it is spelled."""
    scheme, separator, rest = uri.partition("://")
    scheme = scheme.lower() if separator else "file"
    if scheme != "file":
        return Place(scheme=scheme, names=tuple(rest.rstrip("/").split("/")))
    path = posixpath.normpath(_without_escapes(rest.removeprefix("localhost")) if separator else uri)
    top = ("/",) if path.startswith("/") else ()
    return Place(scheme=scheme, names=(*top, *(name for name in path.split("/") if name not in ("", "."))))


def _without_escapes(path: str) -> str:
    """Return the path without percent escapes, which can spell any file name."""
    raw = _ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), path.encode(errors="surrogateescape"))
    return raw.decode(errors="surrogateescape")


def _folder_of(source: str) -> tuple[Place, bool]:
    """Return the folder in which the source's images lie, and whether they also lie in folders below it."""
    place = place_of(source)
    first = next((at for at, name in enumerate(place.names) if GLOB_CHARACTERS.search(name)), None)
    if first is None:
        return place, True
    rest = place.names[first:]
    return Place(scheme=place.scheme, names=place.names[:first]), len(rest) > 1 or rest[0] == "**"


def _short(uri: str) -> str:
    return uri if len(uri) <= 80 else f"{uri[:77]}..."
