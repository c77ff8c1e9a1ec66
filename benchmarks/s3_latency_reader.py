"""One way of s3_latency.py to read photos, in a process of its own: images a second from each place, as JSON.

    python benchmarks/s3_latency_reader.py --task TASK.json

The peers are what one writes without DueBy: a DataLoader of two processes which ask for one object after the other, and
a pool of 32 threads. Their client is botocore's, which is what boto3.client("s3") gives, and they decode with
torchvision's own decoder and resize. The network, if there is one, is that of DueBy's eager engine, prepared as DueBy
does it: the ways differ in how they read. Nothing is timed before the first images have come.
"""

import argparse
import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from dueby_api.inference_job import Model
from dueby_api.schema import validate
from dueby_worker.engines.build import build_engine
from dueby_worker.images.read_ahead import most_ahead, read_images
from dueby_worker.index.frozen_index import open_index
from dueby_worker.models.loading import load_model
from dueby_worker.models.preprocessing import Pixels
from dueby_worker.storage.stores import open_store
from peers_torch import Uint8Square

BATCH = 16
# Images that come before the clock is started: they fill what each way reads ahead.
FIRST = 64
LOADER_PROCESSES, POOL_THREADS = 2, 32
Square = Callable[[bytes], torch.Tensor]
Get = Callable[[str], bytes]


def client() -> Any:
    """S3's client, as boto3 makes it."""
    import botocore.session  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    settings = Config(max_pool_connections=POOL_THREADS, s3={"addressing_style": "path"})
    return botocore.session.get_session().create_client(
        "s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name=os.environ["AWS_REGION"], config=settings
    )


class Reader:
    """Reads one object in one request; each process makes its client when it needs it."""

    def __init__(self) -> None:
        self._client: Any = None
        self._lock = threading.Lock()

    def __call__(self, uri: str) -> bytes:
        parts = urlsplit(uri)
        if parts.scheme == "file":
            return Path(parts.path).read_bytes()
        with self._lock:
            self._client = self._client or client()
        data: bytes = self._client.get_object(Bucket=parts.netloc, Key=parts.path[1:])["Body"].read()
        return data


class Photos(Dataset[torch.Tensor]):
    """The photos again and again, as a DataLoader wants them."""

    def __init__(self, uris: list[str], square: Square) -> None:
        self._uris, self._square, self._get = uris, square, Reader()

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> torch.Tensor:
        return self._square(self._get(self._uris[index % len(self._uris)]))


def by_loader(uris: list[str], square: Square) -> Generator[Pixels, None, None]:
    """Mini-batches of a DataLoader."""
    loader = DataLoader(Photos(uris, square), batch_size=BATCH, num_workers=LOADER_PROCESSES)
    for batch in loader:
        yield batch.numpy()


def by_pool(uris: list[str], square: Square) -> Generator[Pixels, None, None]:
    """Mini-batches of a pool of threads, each of which reads and decodes a photo."""
    get, waiting = Reader(), deque[Future[torch.Tensor]]()
    with ThreadPoolExecutor(POOL_THREADS) as pool:
        try:
            for uri in cycle(uris):
                waiting.append(pool.submit(lambda uri: square(get(uri)), uri))
                if len(waiting) == 2 * POOL_THREADS:
                    yield torch.stack([waiting.popleft().result() for _ in range(BATCH)]).numpy()
        finally:
            pool.shutdown(cancel_futures=True)


def by_dueby(sink: str, preprocessing: Any) -> Generator[Pixels, None, None]:
    """Mini-batches of the reader that DueBy's workers have, from what is indexed in the sink."""
    index = open_index(open_store(sink))
    member_of = index.member_of
    images = read_images(
        ((number, uri) for _ in count() for number, uri in index.items(0, index.images - 1)),
        source=index.document.source,
        preprocessing=preprocessing,
        threads=1,
        ahead=most_ahead(threads=1, mini_batch_size=BATCH),
        witnesses=index.witnesses,
        member_of=member_of,
    )
    side = preprocessing.crop_side
    buffer = np.empty((BATCH, side, side, 3), dtype=np.uint8)
    while True:
        for place, image in enumerate(islice(images, BATCH)):
            if image.pixels is None:
                raise SystemExit(f"s3_latency: {image.uri}: {image.error}")
            buffer[place] = image.pixels
        yield buffer


def rate(batches: Iterator[Pixels], use: Callable[[Pixels], object], seconds: float, warm_s: float) -> float:
    """Images a second, once the first ones have come and that long is over."""
    began = time.perf_counter()
    for number in count():
        if number >= FIRST // BATCH and time.perf_counter() - began >= warm_s:
            break
        use(next(batches))
    began, images = time.perf_counter(), 0
    while (took := time.perf_counter() - began) < seconds:
        use(next(batches))
        images += BATCH
    return images / took


def network(model: Mapping[str, Any]) -> Callable[[Pixels], object]:
    """DueBy's eager engine for these mini-batches."""
    loaded = load_model(validate(Model, model))
    engine = build_engine(name="eager", loaded=loaded, mini_batch_size=BATCH, precision="fp32", threads=1)
    buffer = engine.buffer()

    def run(pixels: Pixels) -> object:
        buffer[:] = pixels
        engine.submit(buffer)
        return engine.collect()

    return run


def main() -> None:
    """Measure this way at each place, and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", type=Path, required=True, help="as s3_latency.py writes it")
    task = json.loads(parser.parse_args().task.read_text())
    torch.set_num_threads(1)
    preprocessing = load_model(validate(Model, task["model"])).preprocessing
    square = Uint8Square(
        {
            "resize": preprocessing.resize_side,
            "crop": preprocessing.crop_side,
            "interpolation": preprocessing.interpolation,
        }
    )
    use: Callable[[Pixels], object] = network(task["model"]) if task["hasNetwork"] else len
    rates = []
    for place in task["places"]:
        os.environ.update(place["environment"])
        ways = {
            "dueby": partial(by_dueby, place["sink"], preprocessing),
            "loader": partial(by_loader, place["uris"], square),
            "pool": partial(by_pool, place["uris"], square),
        }
        batches = ways[task["way"]]()
        rates.append(rate(batches, use, task["seconds"], task.get("warmSeconds", 0.0)))
        batches.close()
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
