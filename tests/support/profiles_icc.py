"""Colour profiles as cameras write them, made here: nothing that is installed brings one of another space than sRGB."""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# The gamma of all three curves, as the profile has it: 8 bits before the point and 8 behind it.
GAMMA = 2.2
# Red, green and blue of Display P3, and of sRGB, as XYZ under D50: a column each.
DISPLAY_P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
_D50 = (0.9642, 1.0, 0.8249)


def color_profile(primaries: NDArray[np.float64] = DISPLAY_P3, *, space: bytes = b"RGB ") -> bytes:
    """Return an ICC profile (version 2) of a display with these primaries."""
    curve = b"curv" + struct.pack(">xxxxIH", 1, round(GAMMA * 256))
    colors = {name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries.T)}
    tags = {
        b"desc": b"desc" + struct.pack(">xxxxI", 5) + b"test\0" + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": _xyz(_D50),
        **colors,
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC", b"kTRC"), curve),
    }
    table, data = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    size = start + len(data)
    header = struct.pack(">I4sI4s4s4s12x4s", size, b"", 0x02400000, b"mntr", space, b"XYZ ", b"acsp")
    header = header.ljust(68, b"\0") + b"".join(map(_fixed, _D50))
    return header.ljust(128, b"\0") + table + data


def srgb_of(color: Sequence[int], primaries: NDArray[np.float64] = DISPLAY_P3) -> list[int]:
    """Return a colour of such a display in sRGB, by the definitions of both."""
    linear = np.linalg.inv(SRGB) @ primaries @ (np.array(color) / 255) ** GAMMA
    clipped = np.clip(linear, 0, 1)
    curved = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)
    return [round(value) for value in curved * 255]


def _xyz(values: Sequence[float] | NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + b"".join(map(_fixed, values))


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))
