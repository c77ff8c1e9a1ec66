"""Ctrl-C and SIGTERM end a command within five seconds, whatever it is doing.

The first signal raises KeyboardInterrupt in the main thread, so that workers are stopped and the run's record is
written. But Python raises it only between two bytecodes, and a store that doesn't answer can hold a call for a minute;
a library may also swallow it. So a thread waits for the signals, too. It ends the process when GRACE_S are over, or
when a second signal comes. Processes that the command has started end with it (system/end_with_parent.py).

Everything that is slow to import is imported after the signals are in these hands, so this module imports nothing such.
"""

import os
import select
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Self

from dueby.cli.exit_codes import EXIT_INTERRUPTED

GRACE_S = 4.0
# Some wrappers pass on a Ctrl-C that the terminal has sent already: two so close together are one.
_ECHO_S = 0.5
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_OVER = b"\0"
_SHOW_CURSOR = b"\x1b[?25h"


class Interruption:
    """A context, entered in the main thread, in which the signals end the process. `sentence` is printed then."""

    def __init__(self, sentence: str, *, grace_s: float = GRACE_S) -> None:
        self._sentence, self._grace_s = sentence, grace_s
        self._has_come = self._is_told = False

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        # Who starts a program in the background may have it ignore Ctrl-C.
        numbers = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        # Written to by the interpreter's own handler, wherever the main thread is.
        self._writer_before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._handlers_before = {number: signal.signal(number, self._raise) for number in numbers}
        self._thread = threading.Thread(target=self._wait, name="interruption", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._has_come:
            # The thread stays: the interpreter's own end waits for other threads.
            if error is not None and not isinstance(error, KeyboardInterrupt):
                # What a library made of the interruption, or what came of a child that has been interrupted, too.
                raise KeyboardInterrupt from error
            return
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._writer_before)
        os.write(self._writer, _OVER)
        self._thread.join()
        os.close(self._reader)
        os.close(self._writer)

    def tell(self) -> None:
        """Print the sentence, once."""
        if not self._is_told:
            self._is_told = True
            print(self._sentence, file=sys.stderr, flush=True)

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        if not self._has_come:
            self._has_come = True
            raise KeyboardInterrupt

    def _wait(self) -> None:
        if not self._comes(None):
            return
        time.sleep(_ECHO_S)
        self._comes(0)
        self._comes(self._grace_s - _ECHO_S)
        if sys.stderr.isatty():
            # A live table that could not be closed has hidden it.
            os.write(sys.stderr.fileno(), _SHOW_CURSOR)
        self.tell()
        os._exit(EXIT_INTERRUPTED)

    def _comes(self, limit_s: float | None) -> bool:
        """Wait for a signal. Return False if the time is over, or the context."""
        while select.select([self._reader], [], [], limit_s)[0]:
            came = os.read(self._reader, select.PIPE_BUF)
            if set(came) & set(_SIGNALS):
                return True
            if _OVER in came:
                return False
        return False
