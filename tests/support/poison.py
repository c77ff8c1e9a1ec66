"""Images that kill the process that decodes them. No file is known that does it for real, so the decoder stands in."""

import os
from pathlib import Path

MARK = b"this image kills its decoder"
# Found before the real simplejpeg, in whatever process: it loads the real one, and dies of marked images.
_STAND_IN = f"""
import importlib.machinery, importlib.util, os, signal, sys

here = os.path.dirname(os.path.abspath(__file__))
elsewhere = [path for path in sys.path if os.path.abspath(path) != here]
spec = importlib.machinery.PathFinder.find_spec("simplejpeg", elsewhere)
real = importlib.util.module_from_spec(spec)
sys.modules["simplejpeg"] = real
spec.loader.exec_module(real)
decode_jpeg = real.decode_jpeg


def decode_or_die(data, *args, **options):
    if {MARK!r} in data:
        os.kill(os.getpid(), signal.SIGSEGV)
    return decode_jpeg(data, *args, **options)


real.decode_jpeg = decode_or_die
"""


def poison(photo: Path) -> None:
    """Mark a JPEG, in a comment."""
    data = photo.read_bytes()
    comment = b"\xff\xfe" + (len(MARK) + 2).to_bytes(2, "big") + MARK
    photo.write_bytes(data[:2] + comment + data[2:])


def python_path_of_victims(folder: Path) -> str:
    """Return a PYTHONPATH whose processes die of marked images; what it needs is written into the folder."""
    folder.mkdir()
    (folder / "simplejpeg.py").write_text(_STAND_IN)
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
