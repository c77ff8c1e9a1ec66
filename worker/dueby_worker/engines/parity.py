"""Check that an engine gives the results of plain fp32 PyTorch.

The check runs once when a worker starts, because the results depend on the machine as much as on the code: instruction
sets, the driver, versions of libraries. It compares the probabilities that the engine returns, so it works for any
engine. The result is a value; the caller decides what to do about it.
"""

from math import isfinite

import numpy as np
import torch

from dueby_api.engines import Precision
from dueby_api.step_messages import ParityCheck
from dueby_worker.engines.interface import Engine, TopK
from dueby_worker.engines.network import Logits
from dueby_worker.models.loading import LoadedModel
from dueby_worker.models.preprocessing import Pixels

# Measured over several engines and photos: fp32 differs by at most 2e-5, bf16 by 0.04.
TOLERANCE: dict[Precision, float] = {"fp32": 1e-4, "bf16": 0.1, "fp16": 0.1}
# If the two best classes are as close as this, rounding alone may swap them.
_CLEAR_LEAD: dict[Precision, float] = {"fp32": 1e-4, "bf16": 0.05, "fp16": 0.05}
# Plain fp32 takes several times as long as the engine, so only so many images are compared.
MAX_IMAGES = 4


def check_parity(engine: Engine, loaded: LoadedModel) -> ParityCheck:
    """Compare the engine with plain fp32 on made-up images. It runs one mini-batch; nothing else may be in flight."""
    batch = engine.buffer()
    batch[...] = made_up_images(len(batch), loaded.preprocessing.crop_side)
    engine.submit(batch)
    return compare(batch, engine.collect(), loaded=loaded, precision=engine.precision)


def compare(batch: Pixels, result: TopK, *, loaded: LoadedModel, precision: Precision) -> ParityCheck:
    """Compare an engine's result for a mini-batch with plain fp32 on its first few images."""
    count = min(MAX_IMAGES, len(batch))
    with torch.inference_mode():
        logits = Logits(loaded.module, loaded.preprocessing).eval()(torch.from_numpy(batch[:count]))
    expected = logits.softmax(dim=1).numpy()
    rows = np.arange(count)
    classes, scores = result.classes[:count], result.scores[:count]
    difference = float(np.abs(expected[rows[:, None], classes] - scores).max())
    # How far fp32's probability of the engine's best class lies below that of fp32's own best class.
    lead = expected.max(axis=1) - expected[rows, classes[:, 0]]
    same_top1 = float((lead <= _CLEAR_LEAD[precision]).mean())
    # False too if the difference is not a number.
    ok = same_top1 == 1 and difference <= TOLERANCE[precision]
    return ParityCheck(
        # Readers of JSON accept finite numbers only.
        max_difference=difference if isfinite(difference) else None,
        same_top1=same_top1,
        ok=ok,
        sentence=f"{'agrees' if ok else 'DISAGREES'} with plain fp32: best classes "
        f"{'are the same' if same_top1 == 1 else 'differ'}, probabilities differ by up to {difference:.1e} "
        f"(limit at {precision}: {TOLERANCE[precision]:g})",
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
