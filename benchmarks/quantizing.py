"""How near to fp32 the precisions are, and how fast: on views of real photos, with OpenVINO on one core.

    python benchmarks/quantizing.py

It prints the table of docs/decisions/0018-int8.md: a row for each precision, and for each way of quantizing that was
compared. Photos are those of benchmarks/photos.py; none that is compared was quantized on. Needs dueby[bench].
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from dueby_api.engines import Precision
from dueby_api.inference_job import Model
from dueby_api.source import Source
from dueby_worker.engines.agreement import Photo, measure_agreement
from dueby_worker.engines.build import build_engine
from dueby_worker.engines.interface import Engine
from dueby_worker.engines.quantizing import CALIBRATION_PHOTOS, quantize
from dueby_worker.index.chunks import Row
from dueby_worker.index.photos import read_photos
from dueby_worker.models.loading import LoadedModel, load_model
from photos import write_photos

COMPARED = 300
MANY = 300
MINI_BATCH = 8
TURNS, STEPS = 40, 4


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="efficientnet_lite0", help="the classifier (default: %(default)s)")
    loaded = load_model(Model(name=parser.parse_args().model))
    with tempfile.TemporaryDirectory() as folder:
        taken = [Row(path.as_uri()) for path in write_photos(Path(folder), MANY + COMPARED)]
        photos = list(read_photos(taken, Source(uri=folder), loaded.preprocessing, threads=2))
    ways = list(_ways(loaded, photos[:MANY]))
    engines = [
        build_engine(name="openvino", loaded=model, mini_batch_size=MINI_BATCH, precision=precision, threads=1)
        for _, _, precision, model in ways
    ]
    times = _times_ms(engines)
    print("| precision | fp32's best class | largest difference | ms an image | seconds to quantize |")
    print("| --- | --- | --- | --- | --- |")
    for (name, seconds, _, _), engine, time_ms in zip(ways, engines, times, strict=True):
        found = measure_agreement(engine, loaded, photos[MANY:])
        if found is None:
            raise SystemExit("no photo could be read")
        far = f"{found.same_top1:.1%} | {found.max_difference:.2f}"
        print(f"| {name} | {far} | {time_ms:.1f} | {seconds} |", flush=True)


def _ways(loaded: LoadedModel, photos: list[Photo]) -> Iterator[tuple[str, str, Precision, LoadedModel]]:
    """Yield the name of a way, the seconds that quantizing took, its precision and its model."""
    yield "fp32", "", "fp32", loaded
    yield "bf16", "", "bf16", loaded
    for count, is_fast in ((CALIBRATION_PHOTOS, False), (MANY, False), (CALIBRATION_PHOTOS, True)):
        began = time.monotonic()
        packed = quantize(loaded, [pixels for _, pixels in photos[:count]], is_fast=is_fast)
        name = f"int8, {count} photos{', biases corrected roughly' if is_fast else ''}"
        yield name, f"{time.monotonic() - began:.0f}", "int8", loaded.replace(quantized=packed)


def _times_ms(engines: Sequence[Engine]) -> list[float]:
    """Return each engine's least time of an image, of many short turns: other programs disturb some of them only."""
    least = [float("inf")] * len(engines)
    for _ in range(TURNS):
        for number, engine in enumerate(engines):
            batch = engine.buffer()
            batch[...] = 127
            for _ in range(STEPS):
                began = time.perf_counter()
                engine.submit(batch)
                engine.collect()
                least[number] = min(least[number], 1000 * (time.perf_counter() - began) / len(batch))
    return least


if __name__ == "__main__":
    main()
