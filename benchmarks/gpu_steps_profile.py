"""A profile of this machine in a few seconds, where cores stand in for a GPU: it shows that the step works.

python benchmarks/gpu_steps_profile.py --precision fp32 --engine eager --class cpu-1 --seconds 6 -o DIR
"""

import argparse
import json
from pathlib import Path

from dueby_api.inference_job import Model
from dueby_api.schema import validate
from gpu_steps_bench import MODEL
from peers_prepare import measure_profile


def main() -> None:
    """Measure it, and print its name."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--precision", required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--class", required=True, dest="device_class")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    wanted = {"name": options.model, "weights": "none", "precision": options.precision, "engine": options.engine}
    model = validate(Model, wanted, origin="the model")
    found = measure_profile(model, options.output, seconds=options.seconds, device_class=options.device_class)
    print(json.dumps(found.metadata.name))


if __name__ == "__main__":
    main()
