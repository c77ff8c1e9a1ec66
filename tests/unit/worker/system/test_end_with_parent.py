"""A child that is busy and asks nobody ends with its parent, even with one that is killed."""

import signal
import subprocess
import sys
from pathlib import Path

from support.run import wait_until


def test_a_busy_child_ends_with_a_parent_that_is_killed() -> None:
    script = """
import subprocess, sys, time
from dueby_worker.system.end_with_parent import ending_with_me

busy = "import signal\\nsignal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\\nwhile True: pass"
child = subprocess.Popen([sys.executable, "-c", busy], start_new_session=True, preexec_fn=ending_with_me())
print(child.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not is_running(child), "the child is gone")


def is_running(pid: int) -> bool:
    """Whether the process does anything; a killed one may still wait to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
