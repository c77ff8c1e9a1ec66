"""Photos for the contact sheet: small, and inside the page as data URIs."""

from base64 import b64encode
from dataclasses import dataclass

from dueby.report.parts import Classified

# Twice the 104 px that a column of the contact sheet has on a phone, whose screens have two pixels to a point or more.
SIDE = 208
# At this size and quality a photo has about 9 KB, where a PNG would have 80.
QUALITY = 82


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A classified image with its picture as a data URI, or the reason why there is none."""

    row: Classified
    picture: str | None
    reason: str = ""


def to_data_uri(jpeg: bytes) -> str:
    """Return the JPEG as a data URI."""
    return "data:image/jpeg;base64," + b64encode(jpeg).decode("ascii")
