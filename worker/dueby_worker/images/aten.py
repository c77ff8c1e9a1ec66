"""torch's antialiased resize without torch's Python, whose import takes more than a second of a core.

The index step decodes a few dozen images to learn what that costs, and the children that decode them need nothing else
of torch. So the kernel is called where it is, in torch's library, by the C interface that torch keeps stable for
extensions (torch/csrc/stable/c/shim.h, with lists since 2.10). It is the same kernel, by a shorter way: the pixels are
the same, and so is the time. A worker has torch loaded anyway, and calls it as usual (torch_resize.py).

Importing this module loads the library. It raises ImportError if there is none that has this interface.
"""

import ctypes
from ctypes import POINTER, byref, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint8, c_uint64, c_void_p
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dueby_worker.models.preprocessing import Pixels

# The version of the interface that is spoken here, 2.10, as torch/csrc/stable/version.h writes it.
_VERSION = (2 << 56) | (10 << 48)
_OPERATORS = {
    "bilinear": b"aten::_upsample_bilinear2d_aa",
    "bicubic": b"aten::_upsample_bicubic2d_aa",
}
_CPU, _DOUBLE_BYTES = 0, 8
_FOUR = c_int64 * 4
# Input, size, align_corners, and two factors; the result takes the first one's place.
_STACK = c_uint64 * 5


def _library() -> Path:
    package = find_spec("torch")
    if package is None or package.origin is None:
        raise ImportError("torch is not installed")
    return Path(package.origin).parent / "lib" / "libtorch_cpu.so"


def _function(library: ctypes.CDLL, name: str, *arguments: Any) -> Any:
    function = getattr(library, name)
    function.argtypes, function.restype = arguments, c_int32
    return function


try:
    _path = str(_library())
    # The kernel releases the interpreter's lock. What takes less than a microsecond doesn't: it would wait to have it.
    _kernels, _quick = ctypes.CDLL(_path), ctypes.PyDLL(_path)
    _call = _function(_kernels, "torch_call_dispatcher", c_char_p, c_char_p, POINTER(c_uint64), c_uint64)
    _new_tensor = _function(
        _quick,
        "aoti_torch_create_tensor_from_blob",
        *(c_void_p, c_int64, POINTER(c_int64), POINTER(c_int64), c_int64),
        *(c_int32, c_int32, c_int32, POINTER(c_void_p)),
    )
    _delete_tensor = _function(_quick, "aoti_torch_delete_tensor_object", c_void_p)
    _new_list = _function(_quick, "torch_new_list_reserve_size", c_size_t, POINTER(c_void_p))
    _push = _function(_quick, "torch_list_push_back", c_void_p, c_uint64)
    _pointer_of = _function(_quick, "aoti_torch_get_data_ptr", c_void_p, POINTER(c_void_p))
    _strides_of = _function(_quick, "aoti_torch_get_strides", c_void_p, POINTER(POINTER(c_int64)))
    _UINT8 = int(_function(_quick, "aoti_torch_dtype_uint8")())
    # torch deletes the factors: they have to come from C++'s own `new`.
    _new = ctypes.PyDLL("libstdc++.so.6")._Znwm
    _new.argtypes, _new.restype = (c_size_t,), c_void_p
except (OSError, AttributeError) as error:
    raise ImportError(f"torch's library can't be used without torch: {error}") from error


def resize(pixels: Pixels, *, interpolation: str, height: int, width: int, down: float, right: float) -> Pixels:
    """Return so many pixels (height, width, 3) of the resized image, from its upper left corner.

    `down` and `right` are the factors from the image's size to the resized one's.
    """
    # An operator takes over all that is on the stack.
    stack = _STACK(_tensor(pixels), _size(height, width), 0, _factor(down), _factor(right))
    _require(_call(_OPERATORS[interpolation], b"", stack, _VERSION))
    try:
        return _array(stack[0], height, width, pixels.shape[2])
    finally:
        _delete_tensor(stack[0])


def _tensor(pixels: Pixels) -> int:
    """Return a tensor (1, channels, height, width) on the memory of the image, in which colours are interleaved."""
    height, width, channels = pixels.shape
    down, right, channel = pixels.strides
    handle = c_void_p()
    sizes, strides = _FOUR(1, channels, height, width), _FOUR(pixels.size, channel, down, right)
    _require(_new_tensor(pixels.ctypes.data, 4, sizes, strides, 0, _UINT8, _CPU, 0, byref(handle)))
    return handle.value or 0


def _size(height: int, width: int) -> int:
    handle = c_void_p()
    _require(_new_list(2, byref(handle)))
    for length in (height, width):
        _require(_push(handle, length))
    return handle.value or 0


def _factor(value: float) -> int:
    """Return an optional number, as the interface wants it: the address of one."""
    address: int = _new(_DOUBLE_BYTES)
    c_double.from_address(address).value = value
    return address


def _array(tensor: int, height: int, width: int, channels: int) -> Pixels:
    """Return a copy of the tensor's pixels (height, width, channels)."""
    pointer, strides = c_void_p(), POINTER(c_int64)()
    _require(_pointer_of(tensor, byref(pointer)))
    _require(_strides_of(tensor, byref(strides)))
    _, channel, down, right = strides[:4]
    lent = memoryview((c_uint8 * (height * width * channels)).from_address(pointer.value or 0))
    memory = np.frombuffer(lent, np.uint8)
    return np.lib.stride_tricks.as_strided(memory, (height, width, channels), (down, right, channel)).copy()


def _require(code: int) -> None:
    if code:
        raise RuntimeError("torch could not resize it")


def _require_that_it_works() -> None:
    """Raise ImportError if the library takes an operator's arguments in another way: no image is to blame for that."""
    try:
        one = resize(np.full((2, 2, 3), 7, np.uint8), interpolation="bilinear", height=1, width=1, down=0.5, right=0.5)
    except RuntimeError as error:
        raise ImportError(str(error)) from error
    if one.tolist() != [[[7, 7, 7]]]:
        raise ImportError(f"torch's library makes {one.tolist()} of an image that is 7 everywhere")


_require_that_it_works()
