"""Plans one job for several deadlines and prints a line for each: how the number of devices follows from the time.

    python examples/demo/what_if.py JOB.yaml PROFILES DEADLINE...

It calls `dueby plan -o json`, as a script of yours would. Exit code 3 is an answer too: it can't be done by then.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml


def plan(job: dict[str, Any], profiles: str, deadline: str) -> dict[str, Any]:
    """The plan of the job with another deadline."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({**job, "spec": {**job["spec"], "deadline": deadline, "deadlineClass": "Hard"}}, file)
        file.flush()
        command = ["dueby", "plan", "-f", file.name, "--profiles", profiles, "-o", "json"]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if answer.returncode not in (0, 3):
        sys.exit(answer.returncode)
    document: dict[str, Any] = json.loads(answer.stdout)
    return document


def sentence(plan: dict[str, Any]) -> str:
    """What the plan says, in a few words."""
    if plan["feasible"]:
        devices = "1 device" if plan["gpus"] == 1 else f"{plan['gpus']} devices, and fewer can't"
        return f"{devices}; done after {plan['expectedSeconds']:.0f} s"
    possible = plan["alternatives"]
    earliest = possible["earliestDeadlineSeconds"]
    all_of_them = "" if earliest is None else f", all of them in {earliest:.0f} s"
    return f"too short: {possible['largestImages'] or 0:,} photos by then{all_of_them}"


def main() -> None:
    """Print a line for each deadline on the command line."""
    manifest, profiles, *deadlines = sys.argv[1:]
    job = yaml.safe_load(Path(manifest).read_text())
    for deadline in deadlines:
        print(f"  in {deadline:>4}:  {sentence(plan(job, profiles, deadline))}")


if __name__ == "__main__":
    main()
