"""Ask workers within the time of a pass, whatever they do.

A pass waits for its questions, so they have a time in all; what was not asked by then keeps its last answer for a
while. Tenants take turns. A pod that lets questions run into their time limit is asked less often, since that is what
costs others their turns; one that refuses at once costs nothing.
"""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import aiohttp

from dueby_operator.jobs import names
from dueby_operator.jobs.pod_templates import PORT
from dueby_operator.kube.client import read_body
from dueby_operator.kube.turns import FairSemaphore
from dueby_operator.objects.pods import Pod

# Of one pass. The operator's probe fails after 120 s without a pass.
BUDGET_S = 10.0
# A silence that took less than this is a refused connection.
COSTLY_S = 0.5
# After so many silences in a row a pod is asked after a pause, which doubles up to the longest one.
PATIENCE, FIRST_PAUSE_S, LONGEST_PAUSE_S = 2, 10.0, 60.0
# An answer that is older says nothing about now, and progress is a kilobyte; there are thousands to keep.
KEPT_S, KEPT_BYTES = 60.0, 2**12
# A pass of the loop waits for the slowest worker, so no worker may hold it up for longer.
TIMEOUT_S = 3.0
# Connections. Some thousand workers are asked in each pass.
AT_ONCE = 64
# The longest answers: progress is a kilobyte, and the parts of the largest sinks are twenty thousand runs.
MAX_BYTES: Mapping[str, int] = {"/progress": 2**14, "/parts": 2**20}
Ask = Callable[[Pod, str], Awaitable[bytes | None]]
"""Returns a page of a worker's pod; None while it doesn't answer."""


class WorkerClient:
    """One session for all workers. What answers may be a tenant's own program.

    So it is heard for a short time and up to a size, it leads nowhere else, and it unpacks nothing: a redirection could
    point at what only the operator reaches, and a kilobyte of gzip can be a gigabyte.
    """

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
        if self._session is not None:
            await self._session.close()

    def _url(self, address: str, page: str) -> str:
        """Return the page's URL. Raise ValueError if the address is none."""
        ip = ipaddress.ip_address(address)
        host = f"[{ip}]" if ip.version == 6 else str(ip)
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


@dataclass(kw_only=True)
class PodMemory:
    """What is remembered of a pod between passes."""

    silences: int = 0
    """Costly ones in a row."""
    again_s: float = 0.0
    """When it may be asked again."""
    answers: dict[str, tuple[float, bytes]] = field(default_factory=dict)
    """When each page was answered last, and how."""


class WorkerPoll:
    """Asks the workers of all jobs."""

    def __init__(
        self,
        ask: Ask,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        budget_s: float = BUDGET_S,
        at_once: int = AT_ONCE,
    ) -> None:
        self._ask = ask
        self._clock_s = clock_s
        self._budget_s = budget_s
        self._turns = FairSemaphore(at_once)
        self._end_s = clock_s() + budget_s
        self._memories: dict[str, PodMemory] = {}

    def begin(self, pods: Iterable[Pod]) -> None:
        """Begin a pass over these pods: its time runs from now, and others are forgotten."""
        self._end_s = self._clock_s() + self._budget_s
        keys = {_key(pod) for pod in pods}
        self._memories = {key: memory for key, memory in self._memories.items() if key in keys}

    async def ask(self, pod: Pod, page: str) -> bytes | None:
        """Return the page; its last answer if the pass had no time to ask; None while the pod is silent."""
        memory = self._memories.setdefault(_key(pod), PodMemory())
        if self._clock_s() < memory.again_s:
            return None
        try:
            async with (
                asyncio.timeout(self._end_s - self._clock_s()),
                self._turns.take(pod.metadata.namespace, pod.metadata.labels.get(names.JOB, "")),
            ):
                began_s = self._clock_s()
                if began_s >= self._end_s:
                    return self._last(memory, page)
                answer = await self._ask(pod, page)
        except TimeoutError:
            return self._last(memory, page)
        self._note(memory, page, answer, began_s)
        return answer

    def _last(self, memory: PodMemory, page: str) -> bytes | None:
        at_s, answer = memory.answers.get(page, (0.0, None))
        return answer if self._clock_s() - at_s < KEPT_S else None

    def _note(self, memory: PodMemory, page: str, answer: bytes | None, began_s: float) -> None:
        now_s = self._clock_s()
        if answer is not None:
            memory.silences, memory.again_s = 0, 0.0
            memory.answers.pop(page, None)
            if len(answer) <= KEPT_BYTES:
                memory.answers[page] = now_s, answer
        elif now_s - began_s >= COSTLY_S:
            memory.silences += 1
            doubled = min(memory.silences - PATIENCE, 10)
            if doubled >= 0:
                memory.again_s = now_s + min(FIRST_PAUSE_S * 2**doubled, LONGEST_PAUSE_S)


def _key(pod: Pod) -> str:
    return f"{pod.metadata.namespace}/{pod.name}/{pod.metadata.uid}"
