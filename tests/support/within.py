"""What tests of images within tars, Parquet files and Lance datasets share: reading all, and jobs that are killed."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Protocol, TypeVar

from dueby_worker.images.fetch import MAX_IMAGE_BYTES
from dueby_worker.images.runs import Taken
from dueby_worker.images.within import Place
from dueby_worker.index.frozen_index import Index
from dueby_worker.storage.store import Unavailable
from support.run import Job, kill, wait_until

Kind = TypeVar("Kind", bound=Place)


class Reader(Protocol):
    """Reads images ahead."""

    def read(self, items: Iterable[tuple[int, str]], *, most: int) -> Iterator[list[Taken]]: ...

    def close(self) -> None: ...


def place_of(index: Index, image: int, kind: type[Kind]) -> Kind:
    """Return where an image of the index is, which is a place of this kind."""
    assert index.member_of is not None
    found = index.member_of(image)
    assert isinstance(found, kind)
    return found


def taken_all(reader: Reader, items: Iterable[tuple[int, str]], *, most: int) -> list[bytes | str]:
    """Return each image's bytes, or why it has none, and close the reader."""
    taken: list[bytes | str] = []
    with closing(reader):
        for _, _, get in chain.from_iterable(reader.read(items, most=most)):
            try:
                taken.append(get(max_bytes=MAX_IMAGE_BYTES))
            except Unavailable as error:
                taken.append(str(error))
    return taken


def kill_after(job: Job, parts: int) -> None:
    """Start the job, and kill it once so many parts of it are there."""
    running = job.start()
    wait_until(lambda: len(job.parts()) >= parts, f"{parts} parts")
    kill(running.pid)
    running.wait()


def require_rows_of_folder(job: Job, photos: Path) -> None:
    """Require that the job's rows say of its images what a job over the folder of the same photos says of them."""
    folder = job.folder / "of-the-folder"
    folder.mkdir()
    spec = {"source": {"uri": str(photos)}, "maxFailedImages": job.spec["maxFailedImages"]}
    other = Job(folder=folder, spec=spec)
    assert other.run() == 0, other.said()
    names = ("index", "classes", "scores", "error", "warning")
    assert [[row[name] for name in names] for row in job.rows()] == [
        [row[name] for name in names] for row in other.rows()
    ]
