"""A peer of peers.py: the loop that a person writes for OpenVINO, with AsyncInferQueue and threads that decode."""

import argparse
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from peers_by_hand import read_square, softmax
from peers_task import Rows, Task, read_task


def classify_all(task: Task) -> None:
    """Run the loop."""
    paths, preset, rows = task.paths(), task.preset, Rows()
    batches = [paths[first : first + task.batch] for first in range(0, len(paths), task.batch)]
    options = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_NUM_THREADS": task.cores,
        # As all ways here. Without it, CPUs with bf16 compute in bf16.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    network = openvino.Core().compile_model(task.models / f"{task.model}.xml", "CPU", options)
    queue = openvino.AsyncInferQueue(network, task.cores)

    def prepare(batch: list[str]) -> NDArray[np.float32]:
        return np.stack([read_square(path, preset) for path in batch])

    def note(request: Any, batch: list[str]) -> None:
        scores = softmax(request.get_output_tensor().data)
        rows.add(batch, scores.argmax(1).tolist(), scores.max(1).tolist())

    queue.set_callback(note)
    with ThreadPoolExecutor(task.cores) as decoders:
        for batch, pixels in zip(batches, decoders.map(prepare, batches), strict=True):
            queue.start_async(pixels, batch)
    queue.wait_all()
    rows.write(task.output)


if __name__ == "__main__":
    classify_all(read_task(argparse.ArgumentParser(description=__doc__)))
