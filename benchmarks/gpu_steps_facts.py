"""What torch, NVML and each engine say of this machine's GPU, as one line of JSON.

python benchmarks/gpu_steps_facts.py
"""

import argparse
import json
from dataclasses import asdict

import torch

from dueby_api.engines import ENGINES
from dueby_profiler.machine.limits import read_limits
from dueby_profiler.machine.machine import software_versions
from dueby_profiler.machine.nvml import read_gpus, read_load
from dueby_worker.engines.build import engine_module
from dueby_worker.engines.torch_gpu import explain, read_gpu


def main() -> None:
    """Print it."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    gpu, gpus = read_gpu(), read_gpus()
    limits = read_limits()
    facts = {
        "obstacle": explain(gpu),
        "torch": asdict(gpu),
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "memoryMiB": [value // 2**20 for value in torch.cuda.mem_get_info()] if torch.cuda.is_available() else None,
        "gpus": [asdict(found) for found in gpus],
        "load": [asdict(state) for state in read_load(found.uuid for found in gpus)],
        "engines": {
            f"{entry.name}-{precision}": engine_module(entry.name).find_obstacle(precision)
            for entry in ENGINES.values()
            if entry.device == "gpu"
            for precision in entry.precisions
        },
        "cores": limits.usable,
        "hostMemoryMiB": limits.memory_mib,
        "software": software_versions(),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
