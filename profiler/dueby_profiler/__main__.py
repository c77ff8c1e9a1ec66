"""`python -m dueby_profiler --config FILE`: the entry point of a job's profiling step.

Signal handlers come first, as in a worker, so that a pod that is deleted during the slow imports ends cleanly.
"""

import sys

from dueby_worker.steps.process_exit import exit_now, exit_on_signals

if __name__ == "__main__":
    exit_on_signals()
    # torch takes seconds to import; the signal handlers must be in place before that.
    from dueby_profiler.step import run_step

    exit_now(run_step(sys.argv[1:]))
