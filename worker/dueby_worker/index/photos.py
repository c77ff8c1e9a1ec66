"""Photos of a source, drawn at random and read as a worker reads them, for what is measured on photos."""

import random
from collections.abc import Callable, Collection, Iterator, Sequence

from dueby_api.source import Source
from dueby_api.step_config import MAX_PIXELS
from dueby_worker.images.read_ahead import most_ahead, read_images
from dueby_worker.index.chunks import Row
from dueby_worker.index.frozen_index import Index
from dueby_worker.index.sampling import neighbours
from dueby_worker.models.preprocessing import Pixels, Preprocessing
from dueby_worker.storage.retry import DEFAULT_RETRY, RetryPolicy

# Each decodes in a process of its own, and these take longer to start than some hundred photos to decode.
_MAX_THREADS = 4
RowsOf = Callable[[Collection[int]], list[Row]]


def draw_rows(rows: RowsOf, *, images: int, digest: str, most: int) -> list[Row]:
    """Return up to `most` of the index's images in random order, the same ones for the same digest.

    `rows` returns images of an index by their numbers. Of Parquet files, neighbours are drawn.
    """
    chosen = random.Random(digest).sample(range(images), min(images, most))
    return rows(neighbours(chosen, rows, images_in_all=images, wanted=most)[:most] or chosen)


def rows_of(index: Index) -> RowsOf:
    """Return what returns images of the sink's index."""

    def rows(images: Collection[int]) -> list[Row]:
        place_of = index.member_of
        # In their order, since one file of the index is in memory at a time.
        rows_of = {
            image: Row(index.uris(image, image)[0], None if place_of is None else place_of(image))
            for image in sorted(images)
        }
        return [rows_of[image] for image in images]

    return rows


def read_photos(
    rows: Sequence[Row],
    source: Source,
    preprocessing: Preprocessing,
    *,
    threads: int,
    max_pixels: int = MAX_PIXELS,
    retry: RetryPolicy = DEFAULT_RETRY,
) -> Iterator[tuple[str, Pixels]]:
    """Yield the URI and the pixels of each image, but of those that can't be read or decoded, or kill their decoder."""
    threads = min(threads, _MAX_THREADS)
    # Each row is within something larger, or none is.
    places = [row.place for row in rows if row.place is not None]
    images = read_images(
        enumerate(row.uri for row in rows),
        source=source,
        preprocessing=preprocessing,
        threads=threads,
        ahead=most_ahead(threads=threads, mini_batch_size=1),
        max_pixels=max_pixels,
        retry=retry,
        is_isolated=True,
        member_of=places.__getitem__ if places else None,
    )
    for image in images:
        if image.pixels is not None:
            # They may be a view that the next image reuses.
            yield image.uri, image.pixels.copy()
