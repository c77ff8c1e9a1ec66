"""Ray Data as a peer of peers.py: stages that stream blocks to each other through Ray's object store.

As documented (Ray's image classification example, and the program for it in Daft's published comparison,
Eventual-Inc/Daft, benchmarking/ai/image_classification/ray_data_main.py): `read_images`, a `map` with the float preset,
`map_batches` with an actor for each device, here for each core. Tuned: the bytes of files go straight to the actors,
which decode and classify, so that no pixels cross the object store; no progress bars, no dashboard, no torch in the
driver.

Ray believes in one CPU more than there are: with all CPUs taken by actors, nothing reads, and it waits for ever.
"""

import argparse
from typing import Any

import numpy as np
import ray
import ray.data
from numpy.typing import NDArray

from peers_task import Task, done_by_me, read_task

Batch = dict[str, Any]
COLUMNS = ["path", "label", "score", "at", "worker"]
# An actor's share of a CPU when tuned, so that a reading task finds one free.
TUNED_ACTOR_CPUS = 0.5


class Prepare:
    """A row's photo becomes floats."""

    def __init__(self, task: Task) -> None:
        from peers_torch import preset_of

        self.preset = preset_of(task)

    def __call__(self, row: Batch) -> Batch:
        return {"path": row["path"], "pixels": self.preset(row["image"]).numpy()}


class DocumentedActor:
    """Has the network, and classifies mini-batches of floats."""

    def __init__(self, task: Task) -> None:
        from peers_torch import load_classifier

        self.classify = load_classifier(task)

    def __call__(self, batch: Batch) -> Batch:
        import torch

        return columns(batch["path"], *self.classify(torch.from_numpy(batch["pixels"])))


class TunedActor:
    """Decodes and classifies mini-batches of files."""

    def __init__(self, task: Task) -> None:
        from peers_torch import Uint8Square, load_classifier

        self.prepare = Uint8Square(task.preset)
        self.classify = load_classifier(task)

    def __call__(self, batch: Batch) -> Batch:
        import torch

        pixels = torch.stack([self.prepare(data) for data in batch["bytes"]])
        return columns(batch["path"], *self.classify(pixels))


def columns(paths: NDArray[np.str_], labels: list[int], scores: list[float]) -> Batch:
    """A mini-batch of rows."""
    return {"path": paths, "label": np.array(labels), "score": np.array(scores), **done_by_me(len(paths))}


def documented(task: Task) -> Any:
    """The stages of the example."""
    prepare = Prepare(task)
    photos = ray.data.read_images(str(task.photos), include_paths=True, mode="RGB")
    return photos.map(lambda row: prepare(row)).map_batches(
        DocumentedActor, batch_size=task.batch, concurrency=task.cores, fn_constructor_args=(task,)
    )


def tuned(task: Task) -> Any:
    """Two stages: files, rows."""
    files = ray.data.read_binary_files(str(task.photos), include_paths=True, override_num_blocks=2 * task.cores)
    return files.map_batches(
        TunedActor,
        batch_size=task.batch,
        compute=ray.data.ActorPoolStrategy(size=task.cores, max_tasks_in_flight_per_actor=2),
        num_cpus=TUNED_ACTOR_CPUS,
        fn_constructor_args=(task,),
    )


def classify_all(task: Task) -> None:
    """Start Ray, run the stages, write the rows."""
    options: dict[str, Any] = {}
    if task.tuned:
        options = {"include_dashboard": False, "log_to_driver": False, "object_store_memory": 256 << 20}
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
    ray.init(num_cpus=task.cores + 1, _temp_dir=str(task.output.parent.parent / "r"), **options)
    rows = tuned(task) if task.tuned else documented(task).select_columns(COLUMNS)
    rows.write_parquet(str(task.output))
    ray.shutdown()


if __name__ == "__main__":
    classify_all(read_task(argparse.ArgumentParser(description=__doc__)))
