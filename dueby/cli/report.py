"""`dueby report SINK`: write an HTML page about a run, from what the run left in its sink.

The store, the decoder and pyarrow belong to the `worker` extra. They are imported only when the command runs.
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
    from dueby.report.photos import Photo
    from dueby.report.run import Run
    from dueby_worker.images.within import Place
    from dueby_worker.storage.store import Store

RUNS = "_dueby/runs"
PAGE = "report.html"
_MAX_PHOTOS = 24
_MAX_FAILED = 200
# A photo for the page is worth a few seconds of waiting, not the ten minutes for which a worker retries a store.
_PHOTO_RETRY_S = 5.0
# Threads that wait for a store and decode: about as many as hide an object store's latency.
_READERS = 8
EXAMPLES = """\
examples:
  dueby report results                           the newest run into results/
  dueby report results --run 20261201T060000Z    an earlier run
  dueby report s3://bucket/results -o run.html   a run into a remote sink
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `dueby report`."""
    parser.add_argument("sink", metavar="SINK", help="folder of the results: the job's sink.uri")
    parser.add_argument(
        "--run", dest="run_name", metavar="NAME", help="name of the run in _dueby/runs (default: the newest)"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"file to write (default: {PAGE} beside the run's files, or here if the sink is remote)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page, print its path and return 0."""
    from dueby.report.page import render_page
    from dueby_worker.storage.stores import open_store

    store = open_store(arguments.sink, field="SINK")
    name = choose_run(store, arguments.run_name)
    page = render_page(gather(store, name))
    print(write_page(page, store=store, name=name, output=arguments.output))
    return 0


def choose_run(store: Store, wanted: str | None) -> str:
    """Return the name of the run that is wanted, or of the newest one; raise Invalid if there is none."""
    names = store.list_folders(RUNS)
    if wanted is not None and wanted not in names:
        raise Invalid("--run", f"{store.uri} has no run {wanted!r}; it has {', '.join(names[-5:]) or 'none'}")
    if names:
        return wanted or names[-1]
    if store.list_folders("_dueby"):
        # Such as a sink whose index step was interrupted, or that a cluster's operator filled.
        raise Invalid("SINK", f"{store.uri} has no {RUNS}: no `dueby run` has started workers for it")
    raise Invalid("SINK", f"{store.uri} is not a DueBy sink: it has no {RUNS}; give the job's sink.uri")


def gather(store: Store, name: str) -> Report:
    """Return everything that the page shows, read from the sink and the source."""
    from dueby.report.page import Report
    from dueby.report.parts import find_parts, read_classified, read_failed
    from dueby_worker.output.success import known_generations, names_of_rows

    record = read_run(store, name)
    parts = find_parts(names_of_rows(store))
    # If the run began with an empty sink and no image failed, no part has a row with an error.
    is_clean = record.failed == 0 and not record.inherited
    failed = () if is_clean else read_failed(parts, store, most=_MAX_FAILED)
    rows = () if record.synthetic else read_classified(parts, store, count=_MAX_PHOTOS)
    return Report(
        sink=store.uri,
        run=record,
        parts=len(parts),
        failed=failed,
        photos=load_photos(rows, store),
        generations=known_generations(store),
    )


def read_run(store: Store, name: str) -> Run:
    """Return the run with the files that are in its folder."""
    from dueby.report.run import FILES, parse_run

    folder = f"{RUNS}/{name}"
    there = set(store.list_names(folder))
    return parse_run(name, {file: store.read(f"{folder}/{file}") for file in FILES if file in there})


def load_photos(rows: tuple[Classified, ...], sink: Store) -> tuple[Photo, ...]:
    """Return each row with its photo, which is read again from the source."""
    from dueby.report.photos import QUALITY, SIDE, Photo, to_data_uri
    from dueby_worker.images.decode import decode_image
    from dueby_worker.images.fetch import Fetcher
    from dueby_worker.images.jpeg import encode
    from dueby_worker.images.unreadable import UnreadableImage
    from dueby_worker.images.within import read_within
    from dueby_worker.index.additions import find_places
    from dueby_worker.models.preprocessing import Preprocessing
    from dueby_worker.storage.retry import RetryPolicy
    from dueby_worker.storage.store import Unavailable

    fetcher = Fetcher(retry=RetryPolicy(total_s=_PHOTO_RETRY_S))
    # As the model sees an image: the shorter side to SIDE, and the square in the middle.
    square = Preprocessing(
        resize_side=SIDE, crop_side=SIDE, interpolation="bicubic", antialias=True, mean=(0, 0, 0), std=(1, 1, 1)
    )

    place_of = find_places(sink)

    def load(row: Classified, place: Place | None) -> Photo:
        try:
            data = fetcher.read(row.uri) if place is None else read_within(fetcher, place)
            pixels = decode_image(data, square).pixels
            return Photo(row=row, picture=to_data_uri(encode(pixels, quality=QUALITY)))
        except Invalid as error:
            return Photo(row=row, picture=None, reason=f"The photo can't be read now: {error.message}")
        except (UnreadableImage, Unavailable, Transient) as error:
            return Photo(row=row, picture=None, reason=f"The photo can't be read now: {error}")

    with ThreadPoolExecutor(_READERS) as pool:
        return tuple(pool.map(load, rows, [place_of(row.index) for row in rows]))


def write_page(page: str, *, store: Store, name: str, output: str | None) -> str:
    """Write the page beside the run or to `output`, and return where it is."""
    data = page.encode("utf-8")
    if output is None and store.uri.startswith("file://"):
        from dueby_worker.storage.uris import file_path

        path = f"{RUNS}/{name}/{PAGE}"
        # Atomic, since somebody may have the page open in a browser.
        store.replace(path, data)
        return f"{file_path(store.uri)}/{path}"
    target = Path(output or PAGE)
    try:
        target.write_bytes(data)
    except OSError as error:
        raise Invalid("-o", f"{target} can't be written: {error.strerror}") from error
    return str(target.resolve())
