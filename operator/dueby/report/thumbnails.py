"""Photos for the contact sheet: small, and inside the page as data URIs.

simplejpeg writes them: at 208 pixels and quality 82 one is about 9 KB, where a PNG would be 80.
"""

from base64 import b64encode
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from dueby.report.parts import Classified

SIDE = 208
_QUALITY = 82


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A classified image with its picture as a data URI, or the reason why there is none."""

    row: Classified
    picture: str | None
    reason: str = ""


def to_picture(pixels: NDArray[np.uint8]) -> str:
    """uint8 RGB (height, width, 3) as a data URI."""
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=_QUALITY, colorspace="RGB")
    return "data:image/jpeg;base64," + b64encode(jpeg).decode("ascii")
