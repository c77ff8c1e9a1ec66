"""Measure what a GPU's worker makes of its cores: how many photos they decode, and what no number of them exceeds.

Around the decoding of an image, a worker does things under the interpreter's lock: tasks, queues, files to open, a copy
into the mini-batch. So the processes of all GPUs go through these phases at the same time, with the worker's own reader
and feed: photos whose decoder does nothing, then photos that 1, 2, 4, ... cores decode. No model runs meanwhile.
"""

import os
import time
from pathlib import Path

import numpy as np

from dueby_profiler.measuring.bench import Bench, now_us
from dueby_profiler.measuring.messages import DecodingRates, MeasureDecoding
from dueby_profiler.measuring.photo_feed import BUFFERS_AHEAD, mini_batch_us, write_images
from dueby_worker.images.picture import Picture
from dueby_worker.images.read_ahead import Begin, begin_here

# Small enough for many mini-batches of a slow core in a phase.
_MINI_BATCH = 16


def run_decoding(bench: Bench, message: MeasureDecoding) -> DecodingRates:
    """Run the phases in the bench's process from the given moment on; return the time of an image in each."""
    uris = write_images(Path(message.folder) / str(os.getpid()))
    preprocessing, ends_us = bench.loaded.preprocessing, message.ends_us
    side = preprocessing.crop_side
    black = Picture(pixels=np.zeros((side, side, 3), np.uint8))

    def image_us(threads: int, until_us: int, begin: Begin | None = None) -> float:
        # The photos of the phase before, which were read ahead, may take longer than it should.
        until_us = max(until_us, now_us() + message.phase_us // 2)
        buffers = [np.zeros((_MINI_BATCH, side, side, 3), np.uint8) for _ in range(1 + BUFFERS_AHEAD)]
        batch_us = mini_batch_us(
            uris,
            buffers,
            preprocessing=preprocessing,
            threads=threads,
            size=_MINI_BATCH,
            until_us=until_us,
            begin=begin,
        )
        return batch_us / _MINI_BATCH

    # All processes wait for the same moment, so that every phase runs in all of them at once.
    time.sleep(max(0.0, (message.begin_us - now_us()) / 1e6))
    most = max(message.cores)
    serial_us = image_us(most, ends_us[0], begin_here(lambda data: black, threads=most))
    decoded_us = [image_us(cores, until_us) for cores, until_us in zip(message.cores, ends_us[1:], strict=True)]
    return DecodingRates(serial_us=serial_us, cores=message.cores, decoded_us=tuple(decoded_us))
