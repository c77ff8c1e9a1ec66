"""URIs: which store an image or a folder lies in, and the one way to spell it.

Every image has one spelling, because the index is sorted and digested by it and the result rows carry it: an absolute
URI. Files are `file:///...` with percent escapes, which can spell any file name, UTF-8 or not. Keys of object stores
are written as they are, as those stores' own tools do. An image in a tar is `s3://bucket/000.tar#folder/name.jpg`: its
name is a label that nobody opens.
"""

import os
import posixpath
import re
from collections.abc import Callable
from urllib.parse import quote_from_bytes, unquote_to_bytes, urljoin

from dueby_api.places import GLOB_CHARACTERS
from dueby_api.schemes import SCHEMES, SchemeKind

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# In the path of a file's URI: what has to be decoded, or written in another way.
_UNUSUAL = re.compile(r"%|/\.|//|/$")
_SAFE = "/!$&'()*+,;=:@~"
# What must stand between :// and the path.
_AUTHORITIES: dict[SchemeKind, str] = {"bucket": "bucket", "web": "host"}


def scheme_of(uri: str) -> str:
    """Return the URI's scheme in lower case; `file` for a bare path."""
    match = _SCHEME.match(uri)
    return match[1].lower() if match else "file"


def is_glob(path: str) -> bool:
    """Return whether the path has characters that make it a glob."""
    return GLOB_CHARACTERS.search(path) is not None


def literal_folder(glob: str) -> str:
    """Return the folder of a glob, or of a path, up to the name in which its first such character is."""
    return GLOB_CHARACTERS.split(glob)[0].rpartition("/")[0]


def canonical_uri(uri: str) -> str:
    """Return the URI as an absolute one. A bare path is relative to the working directory.

    Raise ValueError, with a sentence, if its scheme is unknown or it lacks a bucket or host.
    """
    scheme = scheme_of(uri)
    if scheme not in SCHEMES:
        raise ValueError(f"{scheme}:// is not supported; use one of {', '.join(SCHEMES)}, or a bare path")
    kind = SCHEMES[scheme].kind
    if kind == "folder":
        return file_uri(file_path(uri))
    rest = uri.split("://", 1)[1]
    if not rest.split("/", 1)[0]:
        raise ValueError(f"{uri!r} has no {_AUTHORITIES[kind]} after {scheme}://")
    return f"{scheme}://{rest}"


def file_path(uri: str) -> str:
    """Return the absolute path of a file:// URI or of a bare path. Raise ValueError if it names another machine."""
    if not _SCHEME.match(uri):
        if uri == "~" or uri.startswith("~/"):
            raise ValueError(f"{uri!r} begins with ~, which only shells replace; write the folder out")
        return os.path.abspath(uri)
    host, slash, rest = uri.split("://", 1)[1].partition("/")
    if host not in ("", "localhost") or not slash:
        raise ValueError(f"{uri!r} is not the URI of a file on this machine; write file:///folder/name")
    return os.path.normpath("/" + os.fsdecode(unquote_to_bytes(rest)))


def file_uri(path: str) -> str:
    """Return the file:// URI of an absolute path."""
    return "file://" + quote_from_bytes(os.fsencode(path), safe=_SAFE)


def member_uri(shard: str, name: str) -> str:
    """Return the URI of a tar's member: the tar's, `#`, and the member's name with percent escapes."""
    return f"{shard}#{quote_from_bytes(name.encode(errors='surrogateescape'), safe=_SAFE)}"


def resolver(folder: str) -> Callable[[str], str]:
    """Return a function from an image's name in a manifest to its absolute URI.

    `folder` is the absolute URI of the manifest's folder, without `/` at its end.
    """
    kind = SCHEMES[scheme_of(folder)].kind
    if kind == "folder":
        top = file_path(folder)
    elif kind == "bucket":
        root, top = split(folder)
    before = " "

    def resolve(uri: str) -> str:
        nonlocal before
        # Most are in the store of the one before, and spelt as that was.
        if uri.startswith(before):
            return uri
        if _SCHEME.match(uri):
            image = canonical_uri(uri)
            if image == uri and SCHEMES[scheme_of(image)].kind != "folder":
                before = f"{split(image)[0]}/"
            return image
        if kind == "web":
            return urljoin(folder + "/", uri)
        # An absolute path in a manifest of a bucket is a file of this machine.
        if kind == "folder" or uri.startswith("/"):
            return file_uri(posixpath.normpath(posixpath.join(top, uri)))
        return f"{root}/{_key_of(top, uri)}"

    return resolve


def _key_of(top: str, name: str) -> str:
    """Return the key that a name in the folder `top` means. An empty name, as in a//b, is part of a key."""
    names = top.split("/") if top else []
    for part in name.split("/"):
        if part == "..":
            del names[-1:]
        elif part != ".":
            names.append(part)
    return "/".join(names)


def split(uri: str) -> tuple[str, str]:
    """Split an absolute URI into its root (file system, bucket or host) and the path below it, as a Store takes it."""
    if uri.startswith("file:"):
        # Nearly every one is spelled like this, and there is one for each image.
        is_plain = uri.startswith("file:///") and not _UNUSUAL.search(uri, len("file://"))
        return "file:///", uri[len("file:///") :] if is_plain else file_path(uri).lstrip("/")
    scheme, _, rest = uri.partition("://")
    root, _, path = rest.partition("/")
    return f"{scheme}://{root}", path


def below(folder: str, name: str) -> str:
    """Return the path of what is called so in the folder, which is the root itself if it is empty."""
    # A key may begin with a /, which belongs to its name.
    return f"{folder}/{name}" if folder else name


def parent(uri: str) -> str:
    """Return the folder in which the object lies, without `/` at its end."""
    return uri.rpartition("/")[0]
