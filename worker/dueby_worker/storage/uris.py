"""URIs: which store an image or a folder lies in, and how it is spelled.

Every image has one spelling, since the index is sorted and digested by it and the result rows carry it: an absolute
URI. Files are `file:///...` with percent escapes, which can spell any file name, UTF-8 or not; object stores' keys are
written as they are, as their own tools do.
"""

import os
import posixpath
import re
from collections.abc import Callable
from urllib.parse import quote_from_bytes, unquote_to_bytes, urljoin

OBJECT_SCHEMES = ("s3", "gs")
WEB_SCHEMES = ("http", "https")
SCHEMES = ("file", *OBJECT_SCHEMES, *WEB_SCHEMES)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SAFE = "/!$&'()*+,;=:@~"


def scheme_of(uri: str) -> str:
    """The URI's scheme in lower case; `file` for a bare path."""
    match = _SCHEME.match(uri)
    return match[1].lower() if match else "file"


def canonical_uri(uri: str) -> str:
    """The URI as an absolute one. A bare path is relative to the working directory.

    ValueError, with what is wrong with it, where there is no such scheme, bucket or host.
    """
    scheme = scheme_of(uri)
    if scheme not in SCHEMES:
        raise ValueError(f"{scheme}:// is not read; there are {', '.join(SCHEMES)}, and bare paths")
    if scheme == "file":
        return file_uri(file_path(uri))
    rest = uri.split("://", 1)[1]
    if not rest.split("/", 1)[0]:
        raise ValueError(f"{uri!r} has no {'host' if scheme in WEB_SCHEMES else 'bucket'} after {scheme}://")
    return f"{scheme}://{rest}"


def file_path(uri: str) -> str:
    """The absolute path of a file:// URI, or of a bare path."""
    if not _SCHEME.match(uri):
        return os.path.abspath(uri)
    host, slash, rest = uri.split("://", 1)[1].partition("/")
    if host not in ("", "localhost") or not slash:
        raise ValueError(f"{uri!r} is not the URI of a file on this machine; write file:///folder/name")
    return os.path.normpath("/" + os.fsdecode(unquote_to_bytes(rest)))


def file_uri(path: str) -> str:
    """The file:// URI of an absolute path."""
    return "file://" + quote_from_bytes(os.fsencode(path), safe=_SAFE)


def resolver(folder: str) -> Callable[[str], str]:
    """From what a manifest in `folder` (absolute, without `/` at its end) calls an image to its absolute URI."""
    scheme = scheme_of(folder)
    if scheme == "file":
        top = file_path(folder)
    elif scheme in OBJECT_SCHEMES:
        root, top = split(folder)

    def resolve(uri: str) -> str:
        if _SCHEME.match(uri):
            return canonical_uri(uri)
        if scheme in WEB_SCHEMES:
            return urljoin(folder + "/", uri)
        if scheme == "file" or uri.startswith("/"):
            return file_uri(posixpath.normpath(posixpath.join(top, uri)))
        return f"{root}/{posixpath.normpath(posixpath.join(top, uri)).lstrip('/')}"

    return resolve


def split(uri: str) -> tuple[str, str]:
    """An absolute URI's root (the file system, the bucket or the host) and the path in it, as a Store takes it."""
    if uri.startswith("file:"):
        return "file:///", file_path(uri).lstrip("/")
    scheme, _, rest = uri.partition("://")
    root, _, path = rest.partition("/")
    return f"{scheme}://{root}", path


def parent(uri: str) -> str:
    """The folder in which the object lies, without `/` at its end."""
    return uri.rpartition("/")[0]
