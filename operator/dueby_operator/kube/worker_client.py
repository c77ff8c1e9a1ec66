"""Ask workers how far they are, by their pods' addresses. What answers may be a tenant's own program.

So it is heard for a short time and up to a size, it leads nowhere else, and it unpacks nothing: a redirection could
point at what only the operator reaches, and a kilobyte of gzip can be a gigabyte.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping

import aiohttp

from dueby_operator.jobs.pod_templates import PORT
from dueby_operator.kube.bodies import read_body
from dueby_operator.objects.pods import Pod

# A pass of the loop waits for the slowest worker, so no worker may hold it up for longer.
TIMEOUT_S = 3.0
# Connections. Some thousand workers are asked in each pass.
AT_ONCE = 64
# The longest answers: progress is a kilobyte, and the parts of the largest sinks are twenty thousand runs.
MAX_BYTES: Mapping[str, int] = {"/progress": 2**14, "/parts": 2**20}
Ask = Callable[[Pod, str], Awaitable[bytes | None]]
"""Returns a page of a worker's pod; None while it doesn't answer."""


class WorkerClient:
    """One session for all workers."""

    def __init__(self, *, port: int = PORT, timeout_s: float = TIMEOUT_S) -> None:
        self._port = port
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, pod: Pod, page: str) -> bytes | None:
        """Return the page; None while the worker doesn't answer, which alone doesn't mean that it is dead."""
        try:
            url = self._url(pod.status.pod_ip, page)
            async with self._connection().get(url, allow_redirects=False) as answer:
                is_plain = answer.headers.get("Content-Encoding", "identity") == "identity"
                return await read_body(answer.content, MAX_BYTES[page]) if answer.status == 200 and is_plain else None
        except (OSError, aiohttp.ClientError, TimeoutError, ValueError):
            return None

    async def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            await self._session.close()

    def _url(self, address: str, page: str) -> str:
        """Return the page's URL. Raise ValueError if the address is none."""
        found = ipaddress.ip_address(address)
        host = f"[{found}]" if found.version == 6 else str(found)
        return f"http://{host}:{self._port}{page}"

    def _connection(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                connector=aiohttp.TCPConnector(limit=AT_ONCE),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
                # What one worker wants remembered is not told to another.
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session
