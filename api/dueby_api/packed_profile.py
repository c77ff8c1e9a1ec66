"""A profile in few bytes, for a pod's termination message, of which Kubernetes keeps 4,096.

It is JSON, compressed with gzip, in base64. A shell reads it with `base64 -d | gunzip`.
"""

import base64
import binascii
import gzip
import json
import zlib

from dueby_api.errors import Invalid
from dueby_api.gpu_profile import ProfileSpec
from dueby_api.schema import validate


def pack_profile(spec: ProfileSpec) -> str:
    """Return the spec as text that needs no escaping in JSON. The same spec gives the same text."""
    text = json.dumps(spec.document(), separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def unpack_profile(packed: str, *, origin: str) -> ProfileSpec:
    """Return the packed spec. Raise Invalid if it is none or was cut off."""
    try:
        document = json.loads(gzip.decompress(base64.b64decode(packed, validate=True)))
    except (binascii.Error, OSError, EOFError, zlib.error, ValueError) as error:
        raise Invalid(origin, f"holds no packed profile: {error}") from None
    return validate(ProfileSpec, document, origin=origin)
