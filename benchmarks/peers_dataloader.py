"""The peer of peers.py that everybody has: torch's DataLoader with processes that decode, and a loop around the model.

As documented: Pillow and the weights' preset in floats. Tuned: torchvision's decoder, uint8 until the mini-batch, and
the network of DueBy's eager engine, with all cores' threads.
"""

import argparse

import torch
from torch.utils.data import DataLoader, Dataset

from peers_task import Rows, Task, read_task
from peers_torch import FloatPreset, Uint8Square, load_classifier, preset_of


class Photos(Dataset[torch.Tensor]):
    """The photos, prepared one by one."""

    def __init__(self, paths: list[str], prepare: FloatPreset | Uint8Square) -> None:
        self.paths = paths
        self.prepare = prepare

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.prepare.of_file(self.paths[index])


def classify_all(task: Task) -> None:
    """Run the loop."""
    paths, rows, done = task.paths(), Rows(), 0
    loader = DataLoader(Photos(paths, preset_of(task)), batch_size=task.batch, num_workers=task.cores)
    # The processes that decode start first, and work while the network is loaded.
    batches = iter(loader)
    classify = load_classifier(task)
    for pixels in batches:
        rows.add(paths[done : done + len(pixels)], *classify(pixels))
        done += len(pixels)
    rows.write(task.output)


if __name__ == "__main__":
    classify_all(read_task(argparse.ArgumentParser(description=__doc__)))
