"""The engines for NVIDIA GPUs, on a real GPU."""

import numpy as np
import pytest
import torch

from dueby_api.engines import EngineName, Precision
from dueby_worker.engines.build import build_engine, engine_module
from dueby_worker.engines.interface import Engine
from dueby_worker.engines.parity import check_parity
from support.models import loaded, noise

pytestmark = pytest.mark.gpu
SIDE = 224
NAMES = ["cuda", "cudagraph", "inductor", "tensorrt"]


def build(name: EngineName, precision: Precision = "fp32", mini_batch_size: int = 8) -> Engine:
    if (obstacle := engine_module(name).find_obstacle(precision)) is not None:
        pytest.skip(f"{name} at {precision}: {obstacle}")
    return build_engine(
        name=name,
        loaded=loaded("efficientnet_lite0", weights="DEFAULT", image_size=SIDE),
        mini_batch_size=mini_batch_size,
        precision=precision,
        threads=1,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16"])
def test_an_engine_says_what_plain_fp32_says(name: EngineName, precision: Precision) -> None:
    parity = check_parity(build(name, precision), loaded("efficientnet_lite0", weights="DEFAULT", image_size=SIDE))

    assert parity.ok, parity.sentence
    assert parity.max_difference is not None
    assert (parity.max_difference > 1e-4) == (precision != "fp32")  # or it would be another precision


@pytest.mark.parametrize("name", NAMES)
def test_two_mini_batches_in_flight_come_back_in_order(name: EngineName) -> None:
    engine = build(name)
    batches = [noise(8, SIDE, seed=seed) for seed in range(6)]
    alone = []
    for batch in batches:
        engine.submit(batch)
        alone.append(engine.collect())

    buffers = [engine.buffer() for _ in range(engine.depth + 1)]
    together = []
    for number, batch in enumerate(batches):
        buffer = buffers[number % len(buffers)]
        buffer[...] = batch
        engine.submit(buffer)
        if number:
            together.append(engine.collect())
    together.append(engine.collect())

    for one, two in zip(alone, together, strict=True):
        assert np.array_equal(one["classes"], two["classes"])
        assert np.array_equal(one["scores"], two["scores"])


@pytest.mark.parametrize("name", NAMES)
def test_its_buffers_are_pinned(name: EngineName) -> None:
    engine = build(name)

    assert torch.from_numpy(engine.buffer()).is_pinned()
    assert engine.depth == 2


@pytest.mark.parametrize("name", NAMES)
def test_closing_gives_the_memory_back(name: EngineName) -> None:
    before = torch.cuda.memory_reserved()
    engine = build(name, mini_batch_size=64)
    engine.submit(engine.buffer())

    engine.close()
    del engine

    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before + 64 * 2**20
