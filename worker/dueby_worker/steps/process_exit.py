"""How a worker's process exits: by itself, with a last message, or by a signal.

A mini-batch can take 16 s (eager, 320 px, 256 images), and Python runs a signal handler only between two bytecodes of
the main thread. So SIGTERM and SIGINT are blocked before anything is imported, because threads that libraries start
inherit the mask, and a thread waits for them. When one comes, the process exits within two seconds: the open part is
dropped, and a commit in progress is atomic in any case. The signals' default actions would not do, because process 1 of
a container ignores them.

A worker that has begun may finish something first, but only on the first SIGTERM (worker_run.Departure). Ctrl-C, and
any second signal, end it at once.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from dueby_api.schema import Spec

# Where Kubernetes looks for a container's termination message ...
KUBERNETES_TERMINATION_LOG = "/dev/termination-log"
# ... which this variable moves ...
TERMINATION_LOG = "DUEBY_TERMINATION_LOG"
# ... and how much of it Kubernetes keeps.
MAX_MESSAGE_BYTES = 4096
_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT})
_finish: Callable[[], None] | None = None


def exit_on_signals() -> None:
    """Make the process exit with 143 on SIGTERM and with 130 on SIGINT. Call this before other imports."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    threading.Thread(target=_wait_for_signal, name="signals", daemon=True).start()


def finish_first(finish: Callable[[], None]) -> None:
    """On SIGTERM, call `finish` in a thread before the process exits. It limits its own time."""
    global _finish
    _finish = finish


def _wait_for_signal() -> None:
    number = signal.sigwait(_SIGNALS)
    if number == signal.SIGTERM and _finish is not None:
        threading.Thread(target=_exit_on_next_signal, name="second signal", daemon=True).start()
        # In a thread of its own: the process exits even if it raises.
        finishing = threading.Thread(target=_finish, name="finish", daemon=True)
        finishing.start()
        finishing.join()
    os._exit(128 + number)


def _exit_on_next_signal() -> None:
    os._exit(128 + signal.sigwait(_SIGNALS))


def exit_now(code: int) -> None:
    """Exit without waiting for threads that read ahead or for libraries that tear down."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def leave_message(message: Spec) -> None:
    """Leave the message for whoever started the process: as a line of JSON on stdout, and as a pod's last words."""
    text = json.dumps(message.document(), separators=(",", ":"))
    print(text, flush=True)
    path = Path(os.environ.get(TERMINATION_LOG, KUBERNETES_TERMINATION_LOG))
    # Outside a container there is no such file, and none must be made.
    if TERMINATION_LOG in os.environ or (path.is_file() and os.access(path, os.W_OK)):
        path.write_bytes(text.encode()[:MAX_MESSAGE_BYTES])
