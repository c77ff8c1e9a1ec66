"""SPDL as a peer of peers.py: a pipeline of threads that decode, and a loop around the model.

As documented (facebookresearch/spdl, examples/imagenet_classification.py): `load_image_batch` decodes, scales and
crops mini-batches by FFmpeg, the loop normalises and runs the network. FFmpeg's libraries, version 4 to 9, must be
there: SPDL brings none. Tuned: photos are decoded one by one, by torchvision as for the other tuned peers, and the
network is that of DueBy's eager engine.
"""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import spdl.io
import torch
from spdl.pipeline import PipelineBuilder

from peers_task import Rows, Task, read_task
from peers_torch import Classify, Uint8Square, load_classifier

# Mini-batches that wait for the model at most.
QUEUE = 2


def documented_batches(task: Task, paths: list[str]) -> Any:
    """Mini-batches of uint8 (b, side, side, 3), each decoded by one thread."""
    resize, crop = task.preset["resize"], task.preset["crop"]
    steps = spdl.io.get_video_filter_desc(
        scale_width=resize, scale_height=resize, scale_mode="crop", crop_width=crop, crop_height=crop, pix_fmt="rgb24"
    )

    def decode(some: list[str]) -> tuple[list[str], torch.Tensor]:
        buffer = spdl.io.load_image_batch(some, width=None, height=None, pix_fmt=None, strict=True, filter_desc=steps)
        return some, spdl.io.to_torch(buffer)

    builder = PipelineBuilder().add_source(paths).aggregate(task.batch).pipe(decode, concurrency=task.cores)
    return builder.add_sink(QUEUE).build(num_threads=task.cores)


def tuned_batches(task: Task, paths: list[str]) -> Any:
    """The same, photo by photo."""
    prepare = Uint8Square(task.preset)

    def decode(path: str) -> tuple[str, torch.Tensor]:
        return path, prepare.of_file(path)

    def stack(some: list[tuple[str, torch.Tensor]]) -> tuple[list[str], torch.Tensor]:
        return [path for path, _ in some], torch.stack([pixels for _, pixels in some])

    builder = PipelineBuilder().add_source(paths).pipe(decode, concurrency=task.cores, output_order="input")
    builder = builder.aggregate(task.batch).pipe(stack)
    return builder.add_sink(QUEUE).build(num_threads=task.cores + 1)


def normalised(classify: Classify, task: Task) -> Classify:
    """The classifier with the normalisation of SPDL's example in front."""
    mean, std = (torch.tensor(task.preset[name]).view(1, 3, 1, 1) for name in ("mean", "std"))

    def of_uint8(pixels: torch.Tensor) -> tuple[list[int], list[float]]:
        return classify((pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std)

    return of_uint8


def classify_all(task: Task) -> None:
    """Run the pipeline and the loop."""
    paths, rows = task.paths(), Rows()
    make: Callable[[Task, list[str]], Any] = tuned_batches if task.tuned else documented_batches
    pipeline = make(task, paths)
    with pipeline.auto_stop():
        classify = load_classifier(task) if task.tuned else normalised(load_classifier(task), task)
        batches: Iterator[tuple[list[str], torch.Tensor]] = pipeline.get_iterator()
        for some, pixels in batches:
            rows.add(some, *classify(pixels))
    rows.write(task.output)


if __name__ == "__main__":
    classify_all(read_task(argparse.ArgumentParser(description=__doc__)))
