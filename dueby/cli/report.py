"""`dueby report SINK`: the HTML page of a run, from what the run left in its sink.

The store, the decoder and pyarrow come from the worker's side, so all of it is imported when the command runs.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from dueby_api.errors import Invalid, Transient

if TYPE_CHECKING:
    from dueby.report.page import Report
    from dueby.report.parts import Classified
    from dueby.report.run import Run
    from dueby.report.thumbnails import Photo
    from dueby_worker.storage.store import Store

RUNS = "_dueby/runs"
PAGE = "report.html"
_MAX_PHOTOS = 24
_MAX_FAILED = 200
# A photo is worth a few seconds of waiting for its store, not the ten minutes that a worker would give it.
_PHOTO_PATIENCE_S = 5.0
_READERS = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dueby report`."""
    parser.add_argument("sink", metavar="SINK", help="the folder of the results: the job's sink.uri")
    parser.add_argument(
        "--run", dest="run_name", metavar="NAME", help="the run, by its name in _dueby/runs (default: the newest)"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"where to write the page (default: beside the run, or ./{PAGE} for a remote sink)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page and print its path."""
    try:
        from dueby.report.page import render_page
        from dueby_worker.storage.stores import open_store
    except ModuleNotFoundError as error:
        raise Invalid("report", f"needs {error.name}; install it with: pip install 'dueby[worker]'") from error

    store = open_store(arguments.sink, field="SINK")
    name = choose_run(store, arguments.run_name)
    page = render_page(gather(store, name))
    print(write_page(page, store=store, name=name, output=arguments.output))
    return 0


def choose_run(store: Store, wanted: str | None) -> str:
    """The run of that name, or the newest; Invalid where there is none."""
    names = store.list_folders(RUNS)
    if wanted is not None and wanted not in names:
        raise Invalid("--run", f"{store.uri} has no run {wanted!r}; it has {', '.join(names[-5:]) or 'none'}")
    if names:
        return wanted or names[-1]
    if store.list_folders("_dueby"):
        raise Invalid("SINK", f"{store.uri} has no {RUNS} yet: `dueby run` has not begun a run into it")
    raise Invalid(
        "SINK", f"{store.uri} is not a DueBy sink: it has no {RUNS}; give the folder that is the job's sink.uri"
    )


def gather(store: Store, name: str) -> Report:
    """Everything that the page shows, read from the sink and the source."""
    from dueby.report.page import Report
    from dueby.report.parts import find_parts, read_classified, read_failed

    seen = read_run(store, name)
    parts = find_parts(store.list_names())
    # A run that began with an empty sink and failed in nothing has left no part to look into.
    is_clean = seen.failed == 0 and not seen.inherited
    failed = () if is_clean else read_failed(parts, store.read, most=_MAX_FAILED)
    rows = () if seen.synthetic else read_classified(parts, store.read, count=_MAX_PHOTOS)
    return Report(sink=store.uri, run=seen, parts=len(parts), failed=failed, photos=look_at(rows))


def read_run(store: Store, name: str) -> Run:
    """The files of the run's folder."""
    from dueby.report.run import FILES, parse_run

    folder = f"{RUNS}/{name}"
    there = set(store.list_names(folder))
    return parse_run(name, {file: store.read(f"{folder}/{file}") for file in FILES if file in there})


def look_at(rows: tuple[Classified, ...]) -> tuple[Photo, ...]:
    """Each row with its photo, read again from where it came from."""
    from dueby.report.thumbnails import QUALITY, SIDE, Photo, to_picture
    from dueby_worker.images.decode import decode_image
    from dueby_worker.images.fetch import Fetcher
    from dueby_worker.images.jpeg import encode
    from dueby_worker.images.unreadable import UnreadableImage
    from dueby_worker.models.preprocessing import Preprocessing
    from dueby_worker.storage.retry import RetryPolicy
    from dueby_worker.storage.store import Unavailable

    fetcher = Fetcher(retry=RetryPolicy(total_s=_PHOTO_PATIENCE_S))
    square = Preprocessing(
        resize_side=SIDE, crop_side=SIDE, interpolation="bicubic", antialias=True, mean=(0, 0, 0), std=(1, 1, 1)
    )

    def look(row: Classified) -> Photo:
        try:
            pixels = decode_image(fetcher.read(row.uri), square)
            return Photo(row=row, picture=to_picture(encode(pixels, quality=QUALITY)))
        except Invalid as error:
            return Photo(row=row, picture=None, reason=f"The photo can't be read now: {error.message}")
        except (UnreadableImage, Unavailable, Transient) as error:
            return Photo(row=row, picture=None, reason=f"The photo can't be read now: {error}")

    with ThreadPoolExecutor(_READERS) as pool:
        return tuple(pool.map(look, rows))


def write_page(page: str, *, store: Store, name: str, output: str | None) -> str:
    """Write it, whole or not at all where that is possible; where it is."""
    data = page.encode("utf-8")
    if output is None and store.uri.startswith("file://"):
        from dueby_worker.storage.uris import file_path

        path = f"{RUNS}/{name}/{PAGE}"
        store.replace(path, data)
        return f"{file_path(store.uri)}/{path}"
    target = Path(output or PAGE)
    try:
        target.write_bytes(data)
    except OSError as error:
        raise Invalid("-o", f"{target} can't be written: {error.strerror}") from error
    return str(target.resolve())
