"""Check that an engine gives the results of plain fp32 PyTorch.

The check runs once when a worker starts, because the results depend on the machine as much as on the code: instruction
sets, the driver, versions of libraries. It compares the columns that the engine returns, so it works for any engine.
Probabilities are compared as they are, and embeddings by how long their difference is beside plain fp32's own vector.
The result is a value; the caller decides what to do about it. Of an ONNX file, ONNX Runtime on the CPU takes PyTorch's
place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dueby_api.engines import Precision
from dueby_api.step_messages import ParityCheck
from dueby_worker.engines.interface import Engine
from dueby_worker.engines.network import Network, columns_from, probabilities_from
from dueby_worker.models.columns import Columns, RowRule
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.preprocessing import Pixels

# Measured over several engines and photos: fp32 differs by at most 2e-5, bf16 by 0.04, int8 by 0.4. Of int8 only a
# network that is broken is seen here; how far a sound one is from fp32 is measured on many photos (agreement.py). tf32
# was imitated on cores: it differs by 0.003 where factors are rounded to 10 bits, and by 0.017 where they are cut off.
TOLERANCE: dict[Precision, float] = {"fp32": 1e-4, "tf32": 0.03, "bf16": 0.1, "fp16": 0.1, "int8": 0.6}
# If the two best classes are as close as this, rounding alone may swap them.
_CLEAR_LEAD: dict[Precision, float] = {"fp32": 1e-4, "tf32": 0.015, "bf16": 0.05, "fp16": 0.05, "int8": 0.6}
# Plain fp32 takes several times as long as the engine, so only so many images are compared.
MAX_IMAGES = 4


def check_parity(engine: Engine, loaded: LoadedModel) -> ParityCheck:
    """Compare the engine with plain fp32 on made-up images. It runs one mini-batch; nothing else may be in flight."""
    batch = engine.buffer()
    batch[...] = made_up_images(len(batch), loaded.preprocessing.crop_side)
    engine.submit(batch)
    threads = torch.get_num_threads()
    return compare(batch, engine.collect(), loaded=loaded, precision=engine.precision, threads=threads)


def compare(batch: Pixels, result: Columns, *, loaded: LoadedModel, precision: Precision, threads: int) -> ParityCheck:
    """Compare an engine's result for a mini-batch with plain fp32 on its first few images, with so many threads."""
    count = min(MAX_IMAGES, len(batch))
    with torch.inference_mode(), _computing_with(threads):
        values = Network(loaded.module, loaded.preprocessing).eval()(torch.from_numpy(batch[:count]))
    columns = {name: column[:count] for name, column in result.items()}
    if "embedding" in columns:
        return _compare_embeddings(values, columns["embedding"], loaded=loaded, precision=precision)
    return _compare_probabilities(probabilities_from(values, loaded.rule).numpy(), columns, precision=precision)


@contextmanager
def _computing_with(threads: int) -> Iterator[None]:
    """Let torch compute with so many threads meanwhile: engines that don't compute with torch leave it one."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _compare_probabilities(expected: NDArray[np.float32], columns: Columns, *, precision: Precision) -> ParityCheck:
    rows = np.arange(len(expected))
    if "probabilities" in columns:
        scores = columns["probabilities"]
        classes = np.argsort(-scores, axis=1)
        difference = float(np.abs(expected - scores).max())
    else:
        scores, classes = columns["scores"], columns["classes"]
        difference = float(np.abs(expected[rows[:, None], classes] - scores).max())
    # How far fp32's probability of the engine's best class lies below that of fp32's own best class.
    lead = expected.max(axis=1) - expected[rows, classes[:, 0]]
    same_top1 = float((lead <= _CLEAR_LEAD[precision]).mean())
    words = f"best classes {'are the same' if same_top1 == 1 else 'differ'}, probabilities differ by"
    return _judge(difference, TOLERANCE[precision], words, precision=precision, same_top1=same_top1)


def _compare_embeddings(
    values: torch.Tensor, embeddings: NDArray[Any], *, loaded: LoadedModel, precision: Precision
) -> ParityCheck:
    rule = RowRule(output=loaded.output.replace(dtype="float32"))
    plain = columns_from(values, rule)["embedding"].numpy()
    lengths = np.linalg.norm(plain, axis=1)
    differences = np.linalg.norm(plain - embeddings.astype(np.float32), axis=1)
    # A vector of zeros is right if the engine's is one, too.
    difference = float((differences / np.where(lengths > 0, lengths, 1)).max())
    # A value that is rounded to the embedding's type is off by up to so much of itself.
    limit = TOLERANCE[precision] + float(np.finfo(embeddings.dtype).eps)
    return _judge(difference, limit, "embeddings differ, beside their length, by", precision=precision)


def _judge(
    difference: float, limit: float, words: str, *, precision: Precision, same_top1: float | None = None
) -> ParityCheck:
    # False too if the difference is not a number.
    ok = same_top1 in (None, 1) and difference <= limit
    return ParityCheck(
        # Readers of JSON accept finite numbers only.
        max_difference=difference if isfinite(difference) else None,
        same_top1=same_top1,
        ok=ok,
        sentence=f"{'agrees' if ok else 'DISAGREES'} with plain fp32: {words} up to {difference:.1e} "
        f"(limit at {precision}: {limit:g})",
    )


def made_up_images(count: int, side: int) -> Pixels:
    """Return (count, side, side, 3) images that are the same at every call: waves of colour, which a network tells
    apart.
    """
    y, x = np.mgrid[0:side, 0:side, 0:3][:2] / side * 2 * np.pi
    colour = np.arange(3)
    waves = [np.sin((n + 1) * x + colour + n) * np.cos((n % 3 + 1) * y - n) for n in range(min(count, MAX_IMAGES))]
    images = (127.5 * (1 + np.stack(waves))).astype(np.uint8)
    return images[np.arange(count) % len(images)]
