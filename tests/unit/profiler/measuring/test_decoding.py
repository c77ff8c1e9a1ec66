"""A worker's reader and feed without a model: what is decoded, by whom, and what the phases give."""

import threading
from pathlib import Path

import numpy as np

from dueby_api.inference_job import Model
from dueby_profiler.measuring.bench import Bench, now_us
from dueby_profiler.measuring.contention import mini_batch_us, run_decoding, write_images
from dueby_profiler.measuring.messages import MeasureDecoding, Setup
from dueby_worker.images.picture import Picture
from dueby_worker.images.read_ahead import begin_here
from dueby_worker.models.loading import load_model
from dueby_worker.models.preprocessing import Pixels
from support.profiler import TINY


def test_what_takes_the_decoders_place_gives_the_mini_batches(tmp_path: Path) -> None:
    uris = write_images(tmp_path)
    given: list[int] = []
    used: list[int] = []

    def grey(data: bytes) -> Picture:
        given.append(len(data))
        return Picture(pixels=np.full((8, 8, 3), 7, np.uint8))

    def use(pixels: Pixels) -> None:
        used.append(int(pixels.min()))

    batch_us = mini_batch_us(
        uris,
        [np.zeros((4, 8, 8, 3), np.uint8) for _ in range(3)],
        preprocessing=load_model(TINY).preprocessing,
        threads=2,
        size=4,
        until_us=now_us(),
        use=use,
        begin=begin_here(grey, threads=2),
    )
    assert batch_us > 0
    # The first mini-batch and the two that are timed, at the least.
    assert used == [7] * len(used)
    assert len(used) >= 3
    assert len(given) >= 12
    assert set(given) <= {Path(uri.removeprefix("file://")).stat().st_size for uri in uris}


def test_each_phase_gives_the_time_of_an_image(tmp_path: Path) -> None:
    model = Model(name=TINY.name, weights="none", image_size=32)
    bench = Bench(Setup(model=model, engine="eager", threads=2, spawned_us=0))
    message = MeasureDecoding(cores=(1, 2), begin_us=now_us(), phase_us=1, folder=str(tmp_path))
    assert message.ends_us == [message.begin_us + 1, message.begin_us + 2, message.begin_us + 3]
    rates = run_decoding(bench, message)
    assert rates.cores == (1, 2)
    assert min(rates.serial_us, *rates.decoded_us) > 0
    for thread in threading.enumerate():
        if thread.name.startswith(("images", "feed")):
            thread.join(30)
            assert not thread.is_alive()
