"""What timm's benchmark measures: the network alone, on made-up images that are on the device already.

    python benchmarks/gpu_steps_timm.py --model efficientnet_b0 --device cuda --precision fp16 --batch 256 --steps 40
    ... --compile inductor

timm's wheel doesn't carry benchmark.py. This does what its published tables say they were made with: channels_last,
automatic mixed precision, ten steps before 40 that are timed, and torch.compile for the "dynamo" figures. It prints one
line of JSON.
"""

import argparse
import json
import time
from contextlib import nullcontext
from typing import Any

import torch
from timm import create_model

SIDE = 224
TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": None}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--precision", choices=list(TYPES), required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True, help="that are timed, after a quarter as many")
    parser.add_argument("--compile", metavar="BACKEND", help="of torch.compile")
    options = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    network: Any = create_model(options.model, pretrained=False).eval()
    network = network.to(options.device, memory_format=torch.channels_last)
    if options.compile:
        network = torch.compile(network, backend=options.compile, dynamic=False)
    images = torch.randn(options.batch, 3, SIDE, SIDE, device=options.device)
    images = images.contiguous(memory_format=torch.channels_last)
    dtype = TYPES[options.precision]
    began = time.perf_counter()
    with torch.inference_mode(), torch.autocast(options.device, dtype=dtype) if dtype else nullcontext():
        for _ in range(max(1, options.steps // 4)):
            network(images)
        wait(options.device)
        ready = time.perf_counter()
        for _ in range(options.steps):
            network(images)
            wait(options.device)
        step_s = (time.perf_counter() - ready) / options.steps
    result = {
        "readySeconds": ready - began,
        "stepMicros": round(1e6 * step_s),
        "imagesPerSecond": options.batch / step_s,
    }
    print(json.dumps(result))


def wait(device: str) -> None:
    """Wait for what the device has been told to do."""
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
