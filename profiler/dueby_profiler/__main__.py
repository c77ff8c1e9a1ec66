"""`python -m dueby_profiler --config FILE`: the profiling step's entry point; signals first, as in a worker."""

import sys

from dueby_worker.steps.process_exit import exit_now, exit_on_signals

if __name__ == "__main__":
    exit_on_signals()
    from dueby_profiler.step import run_step

    exit_now(run_step(sys.argv[1:]))
