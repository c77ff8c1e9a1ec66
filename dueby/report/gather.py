"""Everything that the page of a run shows, read from the run's sink and its source."""

from concurrent.futures import ThreadPoolExecutor

from dueby.report.page import Report
from dueby.report.parts import NO_ROWS, Classified, find_parts, read_classified, read_failed, read_replaced
from dueby.report.photos import QUALITY, SIDE, Photo, to_data_uri
from dueby.report.run import FILES, Run, parse_run
from dueby_api.errors import Invalid, Transient
from dueby_worker.images.decode import decode_image
from dueby_worker.images.fetch import Fetcher
from dueby_worker.images.jpeg import encode
from dueby_worker.images.unreadable import UnreadableImage
from dueby_worker.images.within import Place, read_within
from dueby_worker.index.additions import find_places
from dueby_worker.index.frozen_index import find_index
from dueby_worker.models.preprocessing import Preprocessing
from dueby_worker.output.success import known_generations, names_of_rows
from dueby_worker.storage.retry import RetryPolicy
from dueby_worker.storage.store import Store, Unavailable

RUNS = "_dueby/runs"
_MAX_PHOTOS = 24
_MAX_FAILED = 200
# A photo for the page is worth a few seconds of waiting, not the ten minutes for which a worker retries a store.
_PHOTO_RETRY_S = 5.0
# Threads that wait for a store and decode: about as many as hide an object store's latency.
_READERS = 8


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
    record = read_run(store, name)
    parts = find_parts(names_of_rows(store))
    # If the run began with an empty sink and no image failed, no part has a row with an error.
    is_clean = record.failed == 0 and not record.inherited
    index = find_index(store)
    replaced = read_replaced(parts, store) if index and index.document.replaced else NO_ROWS
    failed = () if is_clean else read_failed(parts, store, most=_MAX_FAILED, replaced=replaced)
    rows = () if record.synthetic else read_classified(parts, store, count=_MAX_PHOTOS, replaced=replaced)
    return Report(
        sink=store.uri,
        run=record,
        parts=len(parts),
        failed=failed,
        photos=load_photos(rows, store),
        generations=known_generations(store),
    )


def read_run(store: Store, name: str) -> Run:
    folder = f"{RUNS}/{name}"
    names = set(store.list_names(folder))
    return parse_run(name, {file: store.read(f"{folder}/{file}") for file in FILES if file in names})


def load_photos(rows: tuple[Classified, ...], sink: Store) -> tuple[Photo, ...]:
    """Return each row with its photo, which is read again from the source."""
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
