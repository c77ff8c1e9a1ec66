"""Which files an ONNX model is made of, and their digest, from its bytes: no library of ours says so.

An .onnx file is one protobuf message. Weights may lie in files beside it (PyTorch's exporter writes NAME.onnx.data by
default), whose names are deep in the message. What is read here of the message is where its parts begin and end.
"""

import hashlib
import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from dueby_api.errors import Invalid, first_line
from dueby_worker.models.weights import FIELD

Range = tuple[int, int]
# In each kind of message, the numbers of the fields that lead to tensors.
_WAYS: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_KEY, _VALUE = 1, 2
_LOCATION = b"location"
# Types of fields on the wire, and the bytes of those of a fixed size.
_VARINT, _WITH_LENGTH = 0, 2
_FIXED = {1: 8, 5: 4}
# A varint has at most so many bytes, and subgraphs lie in subgraphs no deeper than people write them.
_MAX_VARINT, _MAX_DEPTH = 10, 100
_BLOCK = 2**20


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the file, and those in its folder that hold some of its tensors. Raise Invalid if it is no ONNX file."""
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            names = {bytes(data[first:end]).decode() for first, end in _locations(data, "model", (0, len(data)))}
    except OSError as error:
        raise Invalid(FIELD, f"{path} can't be read: {error.strerror}") from None
    # ValueError: what is not protobuf, an empty file, or a name that is no text.
    except ValueError as error:
        raise Invalid(FIELD, f"{path} is no ONNX file: {first_line(error)}") from None
    for name in sorted(names):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
            raise Invalid(FIELD, f"{path} keeps weights in {name!r}, which is outside of its folder; export it again")
        if not (path.parent / name).is_file():
            raise Invalid(FIELD, f"{path} keeps weights in {name}, which is not beside it; put it there")
    return (path, *(path.parent / name for name in sorted(names)))


def digest_files(files: tuple[Path, ...], said: bytes) -> bytes:
    """Return SHA-256 over the files' content, in their order, and over what is said of them."""
    whole = hashlib.sha256(hashlib.sha256(said).digest())
    for path in files:
        one = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                one.update(block)
        whole.update(one.digest())
    return whole.digest()


def with_output(model: bytes, tensor: str) -> bytes:
    """Return the model with one more output, the tensor of that name.

    Of a message that is there twice, protobuf takes the parts of both together.
    """
    named = _field(1, tensor.encode())
    return model + _field(7, _field(12, named))


def _locations(data: mmap.mmap, kind: str, where: Range, depth: int = 0) -> Iterator[Range]:
    """Yield where the names of other files are in a message."""
    if depth > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    for number, part in _fields(data, where):
        inner = _WAYS[kind].get(number)
        if inner == "entry":
            entry = dict(_fields(data, part))
            if _KEY in entry and _VALUE in entry and data[slice(*entry[_KEY])] == _LOCATION:
                yield entry[_VALUE]
        elif inner is not None:
            yield from _locations(data, inner, part, depth + 1)


def _fields(data: mmap.mmap, where: Range) -> Iterator[tuple[int, Range]]:
    """Yield the number of each field of a message that has a length, and where its content is."""
    at, end = where
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            _, at = _varint(data, at, end)
        elif wire == _WITH_LENGTH:
            length, first = _varint(data, at, end)
            at = first + length
            if at <= end:
                yield number, (first, at)
        elif wire in _FIXED:
            at += _FIXED[wire]
        else:
            raise ValueError(f"byte {at:,} makes no sense")
    if at != end:
        raise ValueError("it is truncated")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """Return the number that begins there, and where it ends."""
    value = 0
    for place in range(_MAX_VARINT):
        if at + place >= end:
            raise ValueError("it is truncated")
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError(f"byte {at:,} makes no sense")


def _field(number: int, content: bytes) -> bytes:
    return _written(number << 3 | _WITH_LENGTH) + _written(len(content)) + content


def _written(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
