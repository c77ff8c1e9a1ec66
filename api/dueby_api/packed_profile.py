"""A profile in few bytes, for a pod's termination message, of which Kubernetes keeps 4,096.

It is JSON, compressed with gzip, in base64. A shell reads it with `base64 -d | gunzip`.
"""

import base64
import binascii
import gzip
import io
import json
import zlib

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import ProfileSpec
from dueby_api.schema import decode

# Of the JSON: the largest profile that the profiler makes has 5 KB. What is much larger was made to fill a memory.
MAX_BYTES = 2**14


def pack_profile(spec: ProfileSpec) -> str:
    """Return the spec as text that needs no escaping in JSON. The same spec gives the same text."""
    text = json.dumps(spec.document(), separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def unpack_profile(packed: str, *, origin: str) -> ProfileSpec:
    """Return the packed spec. Raise Invalid if it is none, was cut off, or unpacks to more than a profile can be."""
    try:
        with gzip.open(io.BytesIO(base64.b64decode(packed, validate=True))) as file:
            text = file.read(MAX_BYTES + 1)
    except (binascii.Error, OSError, EOFError, zlib.error, ValueError) as error:
        raise Invalid(origin, f"holds no packed profile: {error}") from None
    if len(text) > MAX_BYTES:
        raise Invalid(origin, f"holds no packed profile: it unpacks to more than {MAX_BYTES:,} bytes")
    return decode(ProfileSpec, text, origin=origin)
