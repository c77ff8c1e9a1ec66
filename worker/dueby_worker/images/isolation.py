"""Decode images in processes of their own, so that an image that kills its decoder kills nothing else.

Decoders are written in C: a file can make one write where it must not, loop for ever, or take memory until the kernel
ends the process, and with it every process of the container. A worker decodes in its own process, because nothing is
cheaper, until it has been lost so often that an image may be the reason (steps/worker_run.py). Then, and always in the
index step and when rows with errors are computed again, images are decoded here:

    worker ── file ──▶ child: decode_image ── pixels, or a sentence ──▶ worker

A child may take SHARED_BYTES of memory and a limited time. An image that fails there, whatever the reason, is tried
once more, alone and with what memory there is. If the second child is lost, too, the image's row gets an error.

So such an image costs two children and no worker. However many there are, a worker is lost to images no oftener than it
takes to become careful, and a job no oftener than that for each of its workers.
"""

import multiprocessing
import resource
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

from dueby_worker.images.picture import Picture
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.system.end_with_parent import end_with_parent
from dueby_worker.system.temporary_files import room_for_sockets

# Of each child, beside others: enough for photos of 30 million pixels in every format.
SHARED_BYTES = 512 * 1024**2
# Of the child that is alone. The largest image takes 16 bytes a pixel (grey of 16 bits, which is computed in 32).
ALONE_BYTES = 2 * 1024**3
# The largest image takes 10 s of one core.
MAX_DECODE_S = 120.0
# A child has nothing of the worker's but what is sent to it. All are forked from one process, which loads the decoders
# once; forking the worker would copy locks that its other threads hold. They bring torch's library, and nothing else
# here does: the index step is spared it.
_DECODERS = ["dueby_worker.images.decode", "dueby_worker.images.aten"]
_context = multiprocessing.get_context("forkserver")
_MAX_START_S = 120.0
_READY = "ready"
# multiprocessing's table of children is not made for several threads.
_processes = threading.Lock()
_SIGNALS = {number.value: number.name for number in signal.Signals}
# Version 2 of cgroups, then version 1.
_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """An image, and the time that its decoder took of a core."""

    picture: Picture
    cpu_ns: int


@dataclass(frozen=True, kw_only=True)
class _Question:
    preprocessing: Preprocessing
    max_pixels: int
    memory_bytes: int
    is_tolerant: bool


class _ChildLost(Exception):
    """The text says how, as in "ended with SIGSEGV"."""


class IsolatedDecoder:
    """Decodes images in up to `processes` children. Thread-safe."""

    def __init__(
        self,
        *,
        preprocessing: Preprocessing,
        max_pixels: int,
        processes: int,
        is_tolerant: bool = False,
        max_decode_s: float = MAX_DECODE_S,
    ) -> None:
        self._preprocessing = preprocessing
        self._max_pixels = max_pixels
        self._is_tolerant = is_tolerant
        self._max_decode_s = max_decode_s
        # The model may still have to take its memory, so that only a quarter of it is counted on.
        self._places = max(1, min(processes, memory_left_bytes() // 4 // SHARED_BYTES))
        # Children that wait for an image; None where none was started yet, or where one was lost.
        self._idle: SimpleQueue[_Child | None] = SimpleQueue()
        for _ in range(self._places):
            self._idle.put(None)
        self._alone = threading.Lock()
        _context.set_forkserver_preload(_DECODERS)
        # It loads the decoders while the caller does something else.
        with room_for_sockets():
            forkserver.ensure_running()

    def decode(self, data: bytes) -> Decoded:
        """Decode the image in a child. Raise UnreadableImage, with one sentence, if that is not possible."""
        try:
            return self._decode(data, SHARED_BYTES)
        except (UnreadableImage, _ChildLost):
            # Perhaps there was too little memory for it, which shows in many ways.
            return self.decode_alone(data)

    def decode_alone(self, data: bytes) -> Decoded:
        """Decode the image with what memory there is, and tolerantly if that is wanted. Raise as `decode` does.

        With less memory, tolerance would make pictures of whole images that only lack memory.
        """
        with self._alone:
            try:
                memory_bytes = max(SHARED_BYTES, min(ALONE_BYTES, memory_left_bytes() // 2))
                return self._decode(data, memory_bytes, is_tolerant=self._is_tolerant)
            except _ChildLost as lost:
                raise UnreadableImage(f"It was given up because its decoder {lost}, twice.") from lost

    def close(self) -> None:
        """End the children, of which none may be decoding any more."""
        for _ in range(self._places):
            if child := self._idle.get():
                child.end()

    def _decode(self, data: bytes, memory_bytes: int, *, is_tolerant: bool = False) -> Decoded:
        question = _Question(
            preprocessing=self._preprocessing,
            max_pixels=self._max_pixels,
            memory_bytes=memory_bytes,
            is_tolerant=is_tolerant,
        )
        with self._child() as child:
            answer = child.ask(question, data, limit_s=self._max_decode_s)
        if isinstance(answer, str):
            raise UnreadableImage(answer)
        return answer

    @contextmanager
    def _child(self) -> Generator["_Child", None, None]:
        child = self._idle.get()
        try:
            child = child or _Child()
            yield child
        except BaseException:
            if child:
                child.end()
                child = None
            raise
        finally:
            self._idle.put(child)


class _Child:
    """A process that decodes one image after another."""

    def __init__(self) -> None:
        self._pipe, theirs = _context.Pipe()
        self._process = _context.Process(target=_serve, args=(theirs,), name="decoder", daemon=True)
        with theirs, _processes:
            self._process.start()
        # No image is to blame for a child that does not come so far.
        if not (self._pipe.poll(_MAX_START_S) and self._is_ready()):
            raise RuntimeError(f"a decoder could not be started: it {self._end_words()}")

    def _is_ready(self) -> bool:
        try:
            return bool(self._pipe.recv() == _READY)
        except EOFError:
            return False

    def ask(self, question: _Question, data: bytes, *, limit_s: float) -> Decoded | str:
        """Return the image, or a sentence about why there is none. Raise _ChildLost if there is no answer."""
        try:
            self._pipe.send(question)
            self._pipe.send_bytes(data)
            if not self._pipe.poll(limit_s):
                raise _ChildLost(f"took longer than {limit_s:g} s")
            answer: Decoded | str = self._pipe.recv()
        except (EOFError, OSError):
            raise _ChildLost(self._end_words()) from None
        return answer

    def end(self) -> None:
        """End the process, whatever it does."""
        with _processes:
            self._process.kill()
            self._process.join()
            self._process.close()
        self._pipe.close()

    def _end_words(self) -> str:
        with _processes:
            self._process.join()
            code = self._process.exitcode or 0
        return f"ended with {_SIGNALS.get(-code, f'code {code}')}"


def _serve(pipe: Connection) -> None:
    """Decode what comes through the pipe until it is closed."""
    # The forkserver ends as soon as the worker does. Nobody waits for an image that takes minutes then.
    end_with_parent()
    pipe.send(_READY)
    loaded_bytes = data_bytes()
    while True:
        try:
            question: _Question = pipe.recv()
            data = pipe.recv_bytes()
        except EOFError:
            return
        _limit(resource.RLIMIT_DATA, loaded_bytes + len(data) + question.memory_bytes)
        # Whoever asked has stopped waiting by then, or is gone.
        _limit(resource.RLIMIT_CPU, int(time.process_time() + MAX_DECODE_S) + 1)
        pipe.send(_decode(data, question))


def _decode(data: bytes, question: _Question) -> Decoded | str:
    from dueby_worker.images.decode import decode_image, decode_tolerantly

    decode = decode_tolerantly if question.is_tolerant else decode_image
    began_ns = time.thread_time_ns()
    try:
        picture = decode(data, question.preprocessing, max_pixels=question.max_pixels)
    except UnreadableImage as error:
        return str(error)
    return Decoded(picture=picture, cpu_ns=time.thread_time_ns() - began_ns)


def _limit(kind: int, value: int) -> None:
    _, most = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if most == resource.RLIM_INFINITY else min(value, most), most))


def memory_left_bytes(root: Path = Path("/")) -> int:
    """Return how much more this process may take now. `root` is the folder that holds proc and sys.

    Only the limit of the process's own container is read, where a container sees it. It is of use beside a limit that
    the kernel enforces by ending every process of the container.
    """
    limits = [_kib(root / "proc/meminfo", "MemAvailable:")]
    held = _kib(root / "proc/self/status", "VmRSS:")
    for name in _LIMITS:
        try:
            limit = (root / name).read_text().strip()
        except OSError:
            continue
        if limit.isdecimal():
            limits.append(int(limit) - held)
    return max(0, min(limits))


def data_bytes() -> int:
    """Return what RLIMIT_DATA counts of this process now."""
    return _kib(Path("/proc/self/status"), "VmData:")


def _kib(path: Path, name: str) -> int:
    """Return a value of a file in /proc, in bytes."""
    return int(path.read_text().partition(name)[2].split()[0]) * 1024
