"""A headless Chromium, driven over its own pipe (the DevTools protocol) without any library.

Its windows can't be narrower than 500 px, so the page's width is the emulated one.
"""

import fcntl
import json
import os
import select
import signal
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
ANSWER_WITHIN_S = 60.0


class Browser:
    """One page; what it complained of is in `complaints`, what it asked the network for in `requests`."""

    def __init__(self, *, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self._loaded = False
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def start(self) -> None:
        """Open the page's session."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def open(self, page: Path, *, width: int, dark: bool = False) -> None:
        """Load the page at this width and wait until it is there."""
        self.complaints.clear()
        self.requests.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self._loaded = False
        self.call("Page.navigate", url=page.resolve().as_uri())
        until = time.monotonic() + ANSWER_WITHIN_S
        while not self._loaded:
            self._receive(until)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def picture(self, *, height: float | None = None) -> bytes:
        """The page as a PNG, whole or down to this height."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        return b64decode(self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + ANSWER_WITHIN_S
        while True:
            answer = self._receive(until)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._back], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError(f"the browser has not answered for {ANSWER_WITHIN_S:.0f} s")
            read = os.read(self._back, 1 << 20)
            if not read:
                raise RuntimeError("the browser is gone")
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._notice(message.get("method", ""), message.get("params", {}))
        return message

    def _notice(self, method: str, told: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Log.entryAdded":
            self.complaints.append(told["entry"]["text"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(told["exceptionDetails"]["exception"]["description"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(f"console.{told['type']}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are none of the child's descriptors, which would be overwritten before they are used."""
    ends = os.pipe()
    reading, writing = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 5) for end in ends)
    for end in ends:
        os.close(end)
    return reading, writing


@contextmanager
def open_browser(program: str, *, profile: Path) -> Iterator[Browser]:
    """The browser, with a new profile; it is gone afterwards."""
    (commands, to), (back, answers) = _pipe(), _pipe()
    arguments = [program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    # The protocol is spoken over descriptors 3 and 4. The child leads a group of its own, for its children's sake.
    actions = [
        (os.POSIX_SPAWN_DUP2, commands, 3),
        (os.POSIX_SPAWN_DUP2, answers, 4),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    child = os.posix_spawnp(program, arguments, os.environ, file_actions=actions, setpgroup=0)
    os.close(commands)
    os.close(answers)
    try:
        browser = Browser(to=to, back=back)
        browser.start()
        yield browser
    finally:
        os.close(to)
        os.close(back)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
