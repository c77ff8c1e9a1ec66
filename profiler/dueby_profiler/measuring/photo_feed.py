"""A worker's own reader and feed over a few made-up photos, and how long a mini-batch takes that comes out of them.

The images cost as much as photos do: 640 x 480 pixels, 60-80 KB.
"""

from collections.abc import Callable, Iterable
from itertools import cycle
from pathlib import Path

import numpy as np

from dueby_api.source import Source
from dueby_profiler.measuring.bench import now_us
from dueby_worker.images.jpeg import encode
from dueby_worker.images.read_ahead import Begin, most_ahead, read_images
from dueby_worker.models.preprocessing import Pixels, Preprocessing
from dueby_worker.output.parts import OpenPart
from dueby_worker.work.feed import Feed, MiniBatch
from dueby_worker.work.order import Item

# As in a worker: one buffer is ready while another is being filled.
BUFFERS_AHEAD = 2
_WIDTH, _HEIGHT, _QUALITY = 640, 480, 80
# A single image would stay in the cache.
_IMAGES = 16


def write_images(folder: Path) -> list[str]:
    """Write JPEG files with waves of colour and noise; return their URIs."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    uris = []
    for number in range(_IMAGES):
        waves = [np.sin(x / (20 + 9 * c + number) + y / 33) * np.cos(y / (15 + 7 * c + number)) for c in range(3)]
        noise = np.random.default_rng(number).normal(25, 12, size=(_HEIGHT, _WIDTH, 3))
        pixels = (0.4 * 255 * (1 + np.stack(waves, axis=-1)) + noise).clip(0, 255).astype(np.uint8)
        path = folder / f"{number}.jpg"
        path.write_bytes(encode(pixels, quality=_QUALITY))
        uris.append(path.as_uri())
    return uris


def mini_batch_us(
    uris: list[str],
    buffers: Iterable[Pixels],
    *,
    preprocessing: Preprocessing,
    threads: int,
    size: int,
    until_us: int,
    use: Callable[[Pixels], None] = lambda pixels: None,
    begin: Begin | None = None,
) -> float:
    """Return the time of a mini-batch that is read, decoded and used, from one to the next, until the given moment.

    `begin` decodes in place of the worker's own decoder.
    """
    feed = Feed()
    feed.supply(buffers)
    part = OpenPart(0, first=0, uris=uris, columns={})  # the feed needs a part; no rows are written
    stretch = (Item(part=part, position=0, index=index, uri=uri) for index, uri in enumerate(cycle(uris)))
    feed.start(
        [stretch],
        lambda items: read_images(
            items,
            source=Source(uri=uris[0]),
            preprocessing=preprocessing,
            threads=threads,
            ahead=most_ahead(threads=threads, mini_batch_size=size),
            begin=begin,
        ),
    )
    moments: list[int] = []
    try:
        for batch in feed:
            if isinstance(batch, MiniBatch):
                use(batch.pixels)
                moments.append(now_us())
                feed.give_back(batch)
            # The first one is skipped: the buffers were filled while nothing was used.
            if len(moments) > 2 and moments[-1] >= until_us:
                break
    finally:
        feed.stop()
    steady = moments[1:]
    return (steady[-1] - steady[0]) / (len(steady) - 1)
