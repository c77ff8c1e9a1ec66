"""A peer of peers.py: the loop that a person writes for ncnn, in a process for each core, one image at a time."""

import argparse
import multiprocessing

import ncnn
import numpy as np

from peers_by_hand import read_square, softmax
from peers_task import Rows, Task, read_task


def classify_share(task: Task, number: int) -> None:
    """Classify every n-th photo, where n are the cores, from this one on."""
    network = ncnn.Net()
    network.opt.num_threads = 1
    # As all ways here. Without it, ncnn computes in 16 bits where the CPU can.
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = network.opt.use_fp16_arithmetic = False
    network.opt.use_bf16_storage = network.opt.use_bf16_packed = False
    network.load_param(str(task.models / f"{task.model}.ncnn" / "network.param"))
    network.load_model(str(task.models / f"{task.model}.ncnn" / "network.bin"))
    preset, rows = task.preset, Rows()
    for path in task.paths()[number :: task.cores]:
        extractor = network.create_extractor()
        extractor.input("in0", ncnn.Mat(read_square(path, preset)))
        _, logits = extractor.extract("out0")
        scores = softmax(np.array(logits).reshape(1, -1))[0]
        rows.add([path], [int(scores.argmax())], [float(scores.max())])
    rows.write(task.output, name=str(number))


def classify_all(task: Task) -> None:
    """Run the loops."""
    processes = [multiprocessing.Process(target=classify_share, args=(task, number)) for number in range(task.cores)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


if __name__ == "__main__":
    classify_all(read_task(argparse.ArgumentParser(description=__doc__)))
