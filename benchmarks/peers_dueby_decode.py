"""DueBy's part of the task "decode" of peers.py: the reader that its workers have, without a model behind it.

Its pixels come as uint8 squares, in order, from as many threads as there are cores.
"""

import argparse

import numpy as np
import torch

from dueby_api.source import Source
from dueby_worker.images.read_ahead import read_images
from dueby_worker.models.preprocessing import Preprocessing
from peers_task import Rows, Task, read_task
from peers_torch import first_channel_means


def read_all(task: Task) -> None:
    """Read the photos in mini-batches, as a worker fills them."""
    preset, paths, rows = task.preset, task.paths(), Rows()
    preprocessing = Preprocessing(
        resize_side=preset["resize"],
        crop_side=preset["crop"],
        interpolation=preset["interpolation"],
        antialias=True,
        mean=preset["mean"],
        std=preset["std"],
    )
    # As a worker's process does it: torch's own threads would fight with those that decode.
    torch.set_num_threads(1)
    buffer = np.empty((task.batch, preset["crop"], preset["crop"], 3), dtype=np.uint8)
    classify = first_channel_means(is_uint8=True)
    images = read_images(
        ((place, f"file://{path}") for place, path in enumerate(paths)),
        source=Source(uri=str(task.photos)),
        preprocessing=preprocessing,
        threads=task.cores,
        ahead=2 * task.batch,
    )
    for image in images:
        assert image.pixels is not None, image.error
        place = image.index % task.batch
        buffer[place] = image.pixels
        if place + 1 == task.batch or image.index + 1 == len(paths):
            first = image.index - place
            rows.add(paths[first : image.index + 1], *classify(torch.from_numpy(buffer[: place + 1])))
    rows.write(task.output)


if __name__ == "__main__":
    read_all(read_task(argparse.ArgumentParser(description=__doc__)))
