"""A profile in few bytes, for where there are no more: a pod's last words, of which Kubernetes keeps 4,096.

JSON, gzip, base64: a shell reads it too, with `base64 -d | gunzip`.
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
    """The spec as letters that need no escaping in JSON; the same spec makes the same letters."""
    text = json.dumps(spec.document(), separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def unpack_profile(packed: str, *, origin: str) -> ProfileSpec:
    """The spec that was packed; Invalid where it is none, or was cut off."""
    try:
        document = json.loads(gzip.decompress(base64.b64decode(packed, validate=True)))
    except (binascii.Error, OSError, EOFError, zlib.error, ValueError) as error:
        raise Invalid(origin, f"holds no packed profile: {error}") from None
    return validate(ProfileSpec, document, origin=origin)
