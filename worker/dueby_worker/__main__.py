"""The worker's entry point. Signals are taken care of before anything else is imported; `ending` says why."""

import sys

from dueby_worker.steps.process_exit import end, end_on_signals

if __name__ == "__main__":
    end_on_signals()
    from dueby_worker.steps.command import run_step

    end(run_step(sys.argv[1:]))
