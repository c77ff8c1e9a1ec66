"""The worker's entry point. Signal handling starts before anything else is imported; process_exit.py says why."""

import sys

from dueby_worker.steps.process_exit import exit_now, exit_on_signals

if __name__ == "__main__":
    exit_on_signals()
    from dueby_worker.steps.command import run_step

    exit_now(run_step(sys.argv[1:]))
