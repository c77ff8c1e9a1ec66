"""NVIDIA's library where there is none: a compiled stand-in, placed before a Python process that loads NVML itself."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("nvml_standin.c")
WHOLE = "GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77"
SLICE = "MIG-3f0a3c5e-6c1b-5f0e-9f43-1b0c6a1f7d10"


def build_nvml(folder: Path, *options: str) -> Path:
    """Compile the library into the folder as a driver would install it; return the folder."""
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", *options, "-o", library, SOURCE], check=True)
    return folder


def run_with_nvml(folder: Path, script: str, **variables: str) -> Any:
    """Run the script in a process that finds NVML in the folder; return what it prints last, as JSON."""
    environment = {**os.environ, **variables, "LD_LIBRARY_PATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])
