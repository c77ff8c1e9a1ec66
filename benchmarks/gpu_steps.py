"""What a machine with an NVIDIA GPU shows of DueBy: step by step, the most telling first, ten minutes at a time.

    make gpu                        # again and again, until nothing is left; GPU_MINUTES=10
    make gpu GPU_STANDIN=1          # a minute: cores stand in for a GPU, so that no step fails for a typo
    make gpu GPU_AGAIN="tests cuda" # do these steps once more, and what was skipped for want of them
    python benchmarks/gpu_steps.py --table build/gpu/results.json --into docs/benchmarks.md

A call does the steps that have no result yet and fit into its time, and prints what is left. A step that fails ends no
other one, but those that need it are skipped. The folder has a result (JSON) and a log for each step, the profiles,
`results.json` with all results, and `report.md` with the tables and what failed.

Results of a stand-in lie in a folder of their own, say that they are some, and go into no document.
"""

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from document_tables import add_options, show
from dueby_profiler.machine.nvml import read_gpus
from gpu_steps_bench import REPOSITORY, Bench, Skipped
from gpu_steps_list import Step, steps_of
from gpu_steps_report import NAME, markdown, report
from metering import Failed

# For the step that runs when the time is over to end, and for the report.
SPARE_S = 20.0
Results = dict[str, Mapping[str, Any]]


def main() -> int:
    """Do what fits, write the report, say what is left. Return 1 if a step has failed."""
    options = _parse()
    if options.table:
        show(options, markdown, name=NAME)
        return 0
    if not (options.standin or read_gpus()):
        print("gpu: there is no NVIDIA GPU here; `make gpu GPU_STANDIN=1` goes through the steps on cores")
        return 2
    bench = Bench(
        folder=options.folder or REPOSITORY / "build" / ("gpu-standin" if options.standin else "gpu"),
        is_stand_in=options.standin,
        ends_s=time.monotonic() + 60 * options.minutes - SPARE_S,
        pip_args=options.pip_args.split(),
    )
    # Cores that stand in for a GPU are busy with other tests, too. NVML numbers GPUs by their bus.
    os.environ |= {"OMP_NUM_THREADS": "1"} if bench.is_stand_in else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    steps = steps_of(bench.scale)
    forget(bench.folder, steps, options.again)
    results = run_steps(bench, steps)
    write_report(bench, steps, results)
    return say_what_is_left(steps, results, minutes=options.minutes)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="that this call may take (default: %(default)s)")
    parser.add_argument("--standin", action="store_true", help="let cores stand in for a GPU")
    parser.add_argument("--folder", type=Path, help="for everything (default: build/gpu, or build/gpu-standin)")
    parser.add_argument("--again", nargs="+", default=[], metavar="STEP", help="steps to do once more")
    parser.add_argument("--pip-args", default="", metavar="ARGS", help="more options for pip, to install PyTorch")
    add_options(parser)
    return parser.parse_args()


def run_steps(bench: Bench, steps: Sequence[Step]) -> Results:
    """Do the steps that have no result and fit into the call's time; return all results by the step's name."""
    (bench.folder / "steps").mkdir(parents=True, exist_ok=True)
    bench.work.mkdir(exist_ok=True)
    results = read_results(bench.folder)
    while step := next_step(steps, results, left_s=bench.left_s):
        print(f"{step.name}: {step.shows} ...", flush=True)
        done = run_step(bench, step, results)
        if done is None:
            print(f"{step.name}: goes on in the next call")
            break
        (bench.folder / "steps" / f"{step.name}.json").write_text(json.dumps(done, indent=1) + "\n")
        results[step.name] = done
        reason = f": {done['reason']}" if done["reason"] else ""
        print(f"{step.name}: {done['state']} after {done['seconds']:.1f} s{reason}", flush=True)
    return results


def forget(folder: Path, steps: Sequence[Step], names: Sequence[str]) -> None:
    """Remove the results of these steps, and of those that were skipped for want of one of them."""
    if unknown := set(names).difference(step.name for step in steps):
        raise SystemExit(f"gpu: there is no step {', '.join(sorted(unknown))}; there are {_names(steps)}")
    results, meant = read_results(folder), set(names)
    for step in steps:
        if results.get(step.name, {}).get("state") == "skipped" and meant.intersection(step.needs):
            meant.add(step.name)
    for name in meant:
        (folder / "steps" / f"{name}.json").unlink(missing_ok=True)


def _names(steps: Sequence[Step]) -> str:
    return ", ".join(step.name for step in steps)


def read_results(folder: Path) -> Results:
    """What has been done before."""
    return {path.stem: json.loads(path.read_text()) for path in (folder / "steps").glob("*.json")}


def next_step(steps: Sequence[Step], results: Results, *, left_s: float) -> Step | None:
    """The first step without a result that fits and whose needs are all done, well or not."""
    for step in steps:
        is_ready = all(name in results for name in step.needs)
        if step.name not in results and is_ready and 60 * step.minutes <= left_s:
            return step
    return None


def run_step(bench: Bench, step: Step, results: Results) -> Mapping[str, Any] | None:
    """Do the step; None if it goes on in the next call."""
    bench.log = bench.folder / "steps" / f"{step.name}.log"
    began, at = time.monotonic(), datetime.now(UTC)
    result: Mapping[str, Any] = {}
    try:
        for name in step.needs:
            if results[name]["state"] != "ok":
                raise Skipped(f"it needs {name}, which has {results[name]['state']}")
        state, reason, result = "ok", "", step.run(bench)
    except Skipped as skipped:
        state, reason = "skipped", str(skipped)
    # Whatever it is, it is the step's, and the others go on.
    except (Exception, Failed) as failure:
        if step.is_continued and bench.left_s <= 0:
            return None
        state, reason = "failed", str(failure) or repr(failure)
        with bench.log.open("a") as log:
            traceback.print_exception(failure, file=log)
    return {
        "step": step.name,
        "shows": step.shows,
        "state": state,
        "reason": reason,
        "seconds": round(time.monotonic() - began, 1),
        "at": at.isoformat(timespec="seconds"),
        "standIn": bench.is_stand_in,
        "result": result,
    }


def write_report(bench: Bench, steps: Sequence[Step], results: Results) -> None:
    """All results in the order of the steps, and the report."""
    document = {"standIn": bench.is_stand_in, "steps": [results[step.name] for step in steps if step.name in results]}
    (bench.folder / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    (bench.folder / "report.md").write_text(report(document))
    print(f"{bench.folder}: results.json, report.md, steps/, profiles/")


def say_what_is_left(steps: Sequence[Step], results: Results, *, minutes: float) -> int:
    """Print it; return 1 if a step has failed."""
    left = [step for step in steps if step.name not in results]
    failed = [step.name for step in steps if results.get(step.name, {}).get("state") == "failed"]
    if failed:
        print(f'failed: {", ".join(failed)}; then: make gpu GPU_AGAIN="{" ".join(failed)}"')
    if left:
        print(f"left, about {sum(step.minutes for step in left):.0f} minutes: {_names(left)}")
        shortest = min(step.minutes for step in left) + SPARE_S / 60
        print("call it again" if shortest <= minutes else f"none fits into a call: GPU_MINUTES={shortest:.1f} or more")
    else:
        print("nothing is left")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
