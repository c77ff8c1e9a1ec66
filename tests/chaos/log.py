"""What has happened so far, said at once and kept for the result: one line for each fault, job and hostile object."""

import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

STYLES = {"fault": "yellow", "job": "green", "hostile": "magenta", "operator": "cyan", "wrong": "bold red"}


class Log:
    """Lines with their times; many threads write it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began_s = time.monotonic()
        self._lock = threading.Lock()
        self._lines: list[dict[str, Any]] = []

    def now_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began_s

    def say(self, about: str, sentence: str, **more: Any) -> None:
        """Keep a line, and print it."""
        at_s = self.now_s()
        line = {
            "atSeconds": round(at_s, 1),
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "about": about,
            "sentence": sentence,
            **more,
        }
        with self._lock:
            self._lines.append(line)
            # Words of others may hold what looks like markup.
            words = f"{int(at_s) // 60:3d}:{int(at_s) % 60:02d}  {about:<8} {sentence}"
            self._console.print(Text(words[:400], style=STYLES.get(about, "")))

    def lines(self) -> list[Mapping[str, Any]]:
        """All of them, the oldest first."""
        with self._lock:
            return list(self._lines)
