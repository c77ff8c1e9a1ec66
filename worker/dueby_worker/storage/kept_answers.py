"""What a long listing was answered, kept in the sink: a step that is killed and started again asks for it only once.

A bucket of 100 million keys is 100,000 pages, and the images in tars are found by reading headers one after another.
What is computed of the answers takes less time than they do. So each is kept under its question, in files of some MiB
that are written whole and by several threads. A file may be gone, damaged or there twice: a question without an answer
is asked. They are deleted once there is an index, and again when the job is finished.
"""

import hashlib
import json
import logging
import secrets
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_worker.storage.store import Store, Unavailable

FOLDER = "_dueby/listing"
# Of questions and answers, before they are compressed. It is what a kill loses at most.
_FILE_BYTES = 4 << 20
# Files that are held in memory; and that are read or deleted side by side.
_IN_MEMORY, _AT_ONCE = 16, 8
# To compress more would cost more time than it saves. The answer that fills a file may be that of a large tar, but what
# unpacks to more than this was not written here.
_LEVEL, _MOST_BYTES = 1, 1 << 30

log = logging.getLogger(__name__)


class KeptAnswers:
    """The answers that a sink has, until a block ends as it would end the next time. Thread-safe."""

    def __init__(self, sink: Store, scratch: Path, *, owner: str | None, file_bytes: int = _FILE_BYTES) -> None:
        """Take what is there. `owner` is the job's uid; None if nobody can tell its next attempt from another job."""
        self.owner = owner
        self._sink = sink
        self._scratch = scratch
        self._file_bytes = file_bytes
        self._lock = threading.Lock()
        self._files: dict[bytes, Path] = {}
        """Where the answer to a question is, by the question's digest."""
        self._unwritten: list[tuple[str, str]] = []
        self._unwritten_bytes = 0
        self._has_files = False
        self._read = lru_cache(maxsize=_IN_MEMORY)(_read_answers)
        self._restore()

    def __enter__(self) -> "KeptAnswers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, traceback: object) -> None:
        # What is wrong with the job is wrong the next time, too, and nobody goes on.
        if kind is None or issubclass(kind, Invalid):
            self.delete()

    def find(self, question: str) -> str | None:
        """Return the answer; None if it has to be asked for."""
        with self._lock:
            file = self._files.get(_digest_of(question))
        return None if file is None else self._read(file).get(question)

    def keep(self, question: str, answer: str) -> None:
        """Keep an answer, in the sink once there are enough of them."""
        with self._lock:
            self._unwritten.append((question, answer))
            self._unwritten_bytes += len(question) + len(answer)
            if self._unwritten_bytes < self._file_bytes:
                return
            answers, self._unwritten, self._unwritten_bytes = self._unwritten, [], 0
            self._has_files = True
        data = zlib.compress(json.dumps(answers).encode(), _LEVEL)
        self._sink.create(f"{FOLDER}/{secrets.token_hex(8)}", data)

    def forget(self) -> bool:
        """Take nothing of it for granted any more, and delete it. Return whether there was anything."""
        with self._lock:
            had_any = bool(self._files)
            self._files.clear()
        self.delete()
        return had_any

    def delete(self) -> None:
        if self._has_files:
            delete_answers(self._sink)

    def _restore(self) -> None:
        names = self._sink.list_names(FOLDER)
        self._has_files = bool(names)
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="answers") as pool:
            for file, questions in pool.map(self._fetch, names):
                self._files.update(dict.fromkeys(map(_digest_of, questions), file))
        if self._files:
            log.warning(
                "%s has %s answers of a listing that was not finished; it goes on",
                self._sink.uri,
                f"{len(self._files):,}",
            )

    def _fetch(self, name: str) -> tuple[Path, list[str]]:
        """Copy a file to this machine; return its path and the questions in it, none if it is damaged."""
        file = self._scratch / f"answers-{name}"
        try:
            file.write_bytes(self._sink.read(f"{FOLDER}/{name}"))
            return file, list(_read_answers(file))
        except (Unavailable, zlib.error, ValueError, TypeError, RecursionError) as error:
            log.warning("%s/%s/%s is not used: %s", self._sink.uri, FOLDER, name, error)
            return file, []


def delete_answers(sink: Store) -> None:
    """Delete the answers that a sink has. Where nothing may be deleted, they stay."""
    try:
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="answers") as pool:
            list(pool.map(lambda name: sink.delete(f"{FOLDER}/{name}"), sink.list_names(FOLDER)))
    except Invalid as error:
        log.info("%s; what was kept of the listing stays there", error)


def _digest_of(question: str) -> bytes:
    return hashlib.sha256(question.encode(errors="surrogatepass")).digest()[:16]


def _read_answers(file: Path) -> dict[str, str]:
    """Return a file's answers. Raise ValueError, TypeError, RecursionError or zlib's error if it is damaged."""
    unpacking = zlib.decompressobj()
    text = unpacking.decompress(file.read_bytes(), _MOST_BYTES)
    if not unpacking.eof:
        raise ValueError("it is cut off, or too large")
    return {str(question): str(answer) for question, answer in json.loads(text)}
