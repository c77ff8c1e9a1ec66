"""How far a call is, in a notebook: a line and a bar, which are replaced as it goes on, and a line that stays.

Elsewhere nothing is shown, since nothing here prints. Whoever gives `tell` hears the lines instead.
"""

import sys
import time
from collections.abc import Callable
from html import escape
from types import TracebackType
from typing import Any, Protocol, Self

from dueby.library.inputs import Tell, Told
from dueby_api.untrusted import printable

# Often enough to see that it goes on; each time goes to the browser.
_EVERY_S = 0.5
_BAR = '<progress max="1" value="{share:.4f}" style="width: 20em"></progress> '


class View(Protocol):
    """What is shown of jobs that run: the command's own views are some."""

    @property
    def lines(self) -> Any: ...
    @property
    def share_done(self) -> float: ...


class Progress:
    """What is told and shown while the context lasts; `display` is IPython's, and None where there is none."""

    def __init__(self, tell: Tell | None, *, display: Callable[..., Any] | None = None) -> None:
        self._display = None if tell else display or _notebook_display()
        self._handle: Any = None
        self._line, self._share = "", 0.0
        self._due_s = 0.0
        self.file = Told(tell or self._hear)
        """Takes the lines that the command would show."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.end("Interrupted. The same call continues." if isinstance(error, KeyboardInterrupt) else "Stopped.")

    def show(self, view: View) -> None:
        """Show how far the jobs are."""
        self._line, self._share = " · ".join(view.lines), view.share_done
        if time.monotonic() >= self._due_s:
            self._draw(_BAR.format(share=self._share))

    def end(self, line: str) -> None:
        """Show this line, without a bar."""
        self._line = line
        self._draw("")

    def _hear(self, line: str) -> None:
        # Lines of a table, and those that belong to the one above, say nothing alone.
        if line[:1].isupper():
            self._line = line
            self._draw(_BAR.format(share=self._share) if self._share else "")

    def _draw(self, bar: str) -> None:
        if self._display is None:
            return
        self._due_s = time.monotonic() + _EVERY_S
        line = printable(self._line)
        shown = {"text/html": f"{bar}{escape(line)}", "text/plain": line}
        if self._handle is None:
            self._handle = self._display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)


def _notebook_display() -> Callable[..., Any] | None:
    """Return what shows something in the notebook that this process runs for; None if it runs for none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return ipython.display.display if ipython and hasattr(shell, "kernel") else None
