"""`python -m dueby.profiler --config FILE`: the profiling step's entry point; signals first, as in a worker."""

import sys

from dueby.worker.ending import end, end_on_signals

if __name__ == "__main__":
    end_on_signals()
    from dueby.profiler.step import run_step

    end(run_step(sys.argv[1:]))
