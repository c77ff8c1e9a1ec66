"""Folders of this machine, or mounted on it.

`create` writes a temporary file in the same folder, syncs it, gives it its name with `os.link`, which fails if the
name is taken, and syncs the folder. fsspec is not used for this: its local writes leave a truncated file under the
final name when killed, and its transaction moves through /tmp without any sync.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path

from dueby_api.errors import DueByError, Invalid, Transient
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import BLOCK_BYTES, NotFound, NotPermitted, ObjectVersion, Store, TooLarge, Unavailable
from dueby_worker.storage.uris import file_path, file_uri
from dueby_worker.system.temporary_files import PREFIX, make_temporary, sweep_temporary

# Errors of a disk, a mount or the machine, not of one file: worth retrying.
_TROUBLE = {
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
    errno.ENETUNREACH, errno.ECONNREFUSED, errno.ECONNRESET, errno.EREMOTEIO, errno.ENODEV, errno.ENXIO, errno.EAGAIN,
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EBUSY,
}  # fmt: skip
# Errors of file systems that have no hard links.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}
_OTHERS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class LocalStore(Store):
    """A folder. It is created when something is first written to it."""

    # A disk reads a page or nothing.
    request_bytes = 4096

    def __init__(self, uri: str, *, field: str, retry: RetryPolicy) -> None:
        super().__init__(uri, field=field, retry=retry)
        try:
            self._root = file_path(uri)
        except ValueError as error:
            raise Invalid(field, str(error)) from None
        # Whether the folder is a mount point; None until it has been seen. It is looked at now, so that an unmount
        # between here and the first write is noticed.
        self._was_mount: bool | None = None
        self._require_root()

    def uri_of(self, path: str) -> str:
        """Return the object's absolute URI, with percent escapes."""
        return file_uri(self._path(path))

    def walk(self, folder: str = "") -> Iterator[str]:
        """Yield all files below the folder. Links to folders are followed unless they lead back up."""
        return (path for path, _ in self._entries(folder))

    def walk_versions(self, folder: str = "") -> Iterator[tuple[str, str]]:
        """Yield all files below the folder, with their sizes and the times at which they were written."""
        return ((path, _version_of(entry)) for path, entry in self._entries(folder))

    def _entries(self, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
        top = self._path(folder)
        if not os.path.isdir(top):
            raise NotFound("there is no such folder" if not os.path.exists(top) else "it is not a folder")
        return _walk(top, "", above=())

    def is_folder(self, path: str) -> bool:
        """Return whether the path is a folder, or a link to one."""
        return os.path.isdir(self._path(path))

    def blocks(self, path: str) -> Iterator[bytes]:
        try:
            with open_regular(self._path(path)) as file:
                while block := file.read(BLOCK_BYTES):
                    yield block
        except OSError as error:
            raise _reading_failed(error) from error

    def _read(self, path: str, *, max_bytes: int | None) -> bytes:
        try:
            descriptor, size = _open_regular(self._path(path))
            try:
                return read_at_most(descriptor, max_bytes, size=size)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._require_root()
            raise _reading_failed(error) from error

    def _version(self, path: str) -> ObjectVersion:
        # The time of the last change is left out: another node may have a copy.
        with self._opened(path) as file:
            return ObjectVersion(size=os.fstat(file.fileno()).st_size)

    def _read_range(self, path: str, offset: int, length: int) -> bytes:
        with self._opened(path) as file:
            file.seek(offset)
            # A file gives fewer bytes than asked for at its end only.
            return file.read(length)

    def _read_end(self, path: str, length: int) -> bytes:
        with self._opened(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - length))
            return file.read(length)

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[FileIO]:
        try:
            with open_regular(self._path(path)) as file:
                yield file
        except OSError as error:
            self._require_root()
            raise _reading_failed(error) from error

    def _create(self, path: str, data: bytes) -> bool:
        return not self._exists(path) and self._commit(path, data, _link_or_rename)

    def _replace(self, path: str, data: bytes) -> None:
        self._commit(path, data, _rename)

    def _commit(self, path: str, data: bytes, name: Callable[[str, str], bool]) -> bool:
        """Write the data beside the path, then `name` it. Return False if the name was taken."""
        final = self._path(path)
        folder = os.path.dirname(final)
        self._require_root()
        try:
            os.makedirs(folder, exist_ok=True)
            self._require_root()  # it exists now; remember whether it is a mount point
            with _temporary_file(folder, data) as temporary:
                is_named = name(temporary, final)
            _sync_folder(folder)
        except OSError as error:
            raise self._writing_failed(error) from error
        return is_named

    def _exists(self, path: str) -> bool:
        try:
            return not stat.S_ISDIR(os.stat(self._path(path)).st_mode)
        except OSError as error:
            self._require_root()
            failure = _reading_failed(error)
            if isinstance(failure, NotFound):
                return False
            raise failure from error

    def _list(self, folder: str) -> Iterator[tuple[str, bool]]:
        self._require_root()
        try:
            with os.scandir(self._path(folder)) as entries:
                for entry in entries:
                    if not entry.name.startswith(PREFIX):
                        yield entry.name, entry.is_dir()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise self._writing_failed(error) from error

    def _delete(self, path: str) -> None:
        try:
            os.unlink(self._path(path))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._writing_failed(error) from error

    def sweep(self, folder: str = "", *, is_deep: bool = False) -> int:
        """Delete temporary files whose writers have ended; return how many."""
        return sweep_temporary(Path(self._path(folder)), is_deep=is_deep)

    def _path(self, path: str) -> str:
        return os.path.join(self._root, path) if path else self._root

    def _require_root(self) -> None:
        """Raise Transient if the folder has vanished: without its mount, writes would go to another disk."""
        is_there, is_mount = os.path.isdir(self._root), os.path.ismount(self._root)
        if self._was_mount is None:
            self._was_mount = is_mount if is_there else None
        elif not is_there or (self._was_mount and not is_mount):
            raise Transient(f"{self._root} has gone; was it unmounted?")

    def _writing_failed(self, error: OSError) -> DueByError:
        if error.errno in _TROUBLE:
            return Transient(_words(error))
        return NotPermitted(f"{error.filename or self._root}: {_words(error)}")


def _reading_failed(error: OSError) -> DueByError:
    if error.errno in _TROUBLE:
        return Transient(_words(error))
    return (NotFound if isinstance(error, FileNotFoundError | NotADirectoryError) else Unavailable)(_words(error))


def _words(error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "there is no such file"
    return (error.strerror or str(error)).lower()


@contextlib.contextmanager
def _temporary_file(folder: str, data: bytes) -> Iterator[str]:
    """Write the data to a synced temporary file, and hold it. It is deleted afterwards unless it was renamed."""
    with make_temporary(Path(folder)) as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            yield file.name
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file.name)


def _link_or_rename(temporary: str, final: str) -> bool:
    try:
        os.link(temporary, final)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # FAT and some network mounts have no hard links. Another writer can win between the test and the rename, and
        # its file is replaced then; that is harmless, because both write the same rows.
        return not os.path.exists(final) and _rename(temporary, final)
    return True


def _rename(temporary: str, final: str) -> bool:
    os.rename(temporary, final)
    return True


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _version_of(entry: os.DirEntry[str]) -> str:
    try:
        status = entry.stat()
    except OSError as error:
        if isinstance(failure := _reading_failed(error), Transient):
            raise failure from error
        return "unreadable"  # such as a link that leads nowhere; its row will say so
    return f"{status.st_size} {status.st_mtime_ns}"


def _walk(top: str, below: str, *, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the files below top/below.

    `above` holds device and inode of each folder on the way down; a link that leads back up is recognised by them.
    """
    try:
        status = os.stat(os.path.join(top, below))
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(os.path.join(top, below)) as entries:
            for entry in entries:
                path = f"{below}/{entry.name}" if below else entry.name
                if entry.is_dir():
                    yield from _walk(top, path, above=(*above, here))
                else:
                    yield path, entry
    except OSError as error:
        failure = _reading_failed(error)
        raise type(failure)(f"{os.path.join(top, below)} can't be listed: {failure}") from error


def open_regular(path: str) -> FileIO:
    """Open a regular file, or a link to one, without ever blocking. Raise Unavailable if it is anything else."""
    return FileIO(_open_regular(path)[0])


def _open_regular(path: str) -> tuple[int, int]:
    """Return the descriptor of what open_regular opens, and the file's size.

    A path among someone's images may be a FIFO, on which opening blocks for ever, or a device, which may never end.
    """
    # Before opening, because that alone has effects on some devices; and after it, because the path may lead to
    # another file by then.
    _require_regular(os.stat(path).st_mode)
    # Opening a FIFO blocks otherwise. On regular files O_NONBLOCK has no effect.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        _require_regular(status.st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status.st_size


def read_at_most(descriptor: int, max_bytes: int | None, *, size: int) -> bytes:
    """Return an open file's content, of this size when it was opened. Raise TooLarge if there is more, or soon after.

    Each call of the system lets go of the interpreter's lock, which others want, too; so there are no more than needed.
    """
    if max_bytes is not None and size > max_bytes:
        raise TooLarge(size=size, max_bytes=max_bytes)
    # One byte more shows that the file has grown.
    data = os.read(descriptor, size + 1)
    if len(data) == size > 0:
        return data
    blocks, held = [data], 0
    while blocks[-1]:
        held += len(blocks[-1])
        if max_bytes is not None and held > max_bytes:
            raise TooLarge(size=None, max_bytes=max_bytes)
        blocks.append(os.read(descriptor, BLOCK_BYTES))
    return b"".join(blocks)


def _require_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((words for is_kind, words in _OTHERS if is_kind(mode)), "something else")
        raise Unavailable(f"it is {kind}, not a file")
