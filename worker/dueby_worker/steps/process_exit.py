"""How a worker process ends: by itself with a summary, or by a signal within two seconds.

A mini-batch can take 16 s (eager, 320 px, 256 images), and a Python signal handler runs only between two bytecodes of
the main thread. So SIGTERM and SIGINT are blocked before anything is imported (threads that libraries start inherit
that), one thread waits for them, and the process is gone at once: the open part is dropped, and a commit in progress
is atomic whatever happens. Default actions would not do: process 1 of a container ignores them.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Where Kubernetes looks for a container's termination message, and how much of it is kept.
KUBERNETES_TERMINATION_LOG = "/dev/termination-log"
TERMINATION_LOG = "DUEBY_TERMINATION_LOG"
MAX_BYTES = 4096
_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})

FINE = 0
BUG = 1
INVALID = 2
TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h


def end_on_signals() -> None:
    """From now on SIGTERM ends the process with 143 and SIGINT with 130. To be called before other imports."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=_wait_for_signal, name="signals", daemon=True).start()


def _wait_for_signal() -> None:
    os._exit(128 + signal.sigwait(_SIGNALS))


def end(code: int) -> None:
    """End now, without waiting for threads that read ahead or for libraries that tear down."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def leave_message(message: Mapping[str, Any]) -> None:
    """The message as a line of JSON for whoever started the process: on stdout, and as a pod's last words."""
    text = json.dumps(message, separators=(",", ":"))
    print(text, flush=True)
    path = Path(os.environ.get(TERMINATION_LOG, KUBERNETES_TERMINATION_LOG))
    if TERMINATION_LOG in os.environ or (path.is_file() and os.access(path, os.W_OK)):
        path.write_text(text if len(text.encode()) <= MAX_BYTES else text.encode()[:MAX_BYTES].decode(errors="ignore"))
