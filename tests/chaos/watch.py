"""How the operator is meanwhile, by its own metrics, which are read from inside its node.

So it works while the API server is away: the operator's process is found on the control plane's node, and its page is
asked for in that process's network. Beside it the API server is asked whether it is ready. A pass is seen by its count,
whatever a clock says. The time without one counts while the API server is ready and nothing of ours keeps the operator
from passing; it begins again with each such disturbance.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from subprocess import TimeoutExpired
from typing import Any

from chaos.cluster import in_node
from chaos.log import Log
from support.lanes import CONTROL_PLANE

# By its command line. The brackets keep pgrep from finding whoever asks for it.
OPERATOR_PROCESS = "[d]ueby_operator"
PASSES, FAULTS_COUNTED = "dueby_reconcile_duration_seconds_count", "dueby_faults_total"
PEAK = "process_resident_memory_bytes"
# Of the calendar. What a process has counted within a second of its end is not seen.
COUNTED = {
    "dueby_promises_made_total": "promises made",
    "dueby_promises_kept_total": "promises kept",
    "dueby_promises_broken_total": "promises broken",
    "dueby_refusals_total": "Hard jobs refused",
    "dueby_workers_started_total": "workers started",
    "dueby_workers_gave_way_total": "workers that gave way",
}
LOOK_S = 1.0
# After a disturbance, so long a new process is taken for its consequence.
CONSEQUENCE_S = 120.0
ASK = f"""
ready=$(curl -sk -m 2 -o /dev/null -w '%{{http_code}}' https://127.0.0.1:6443/readyz)
pid=$(pgrep -o -f '{OPERATOR_PROCESS}')
echo "# api $ready pid $pid"
[ -z "$pid" ] || nsenter -t "$pid" -n curl -s -m 2 http://127.0.0.1:8080/metrics
"""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The operator at a moment."""

    is_api_ready: bool
    pid: str
    """Of the operator's process on its node; empty where there is none."""
    passes: float | None = None
    """Since its start; None if it doesn't answer."""
    faults: float = 0.0
    memory_bytes: float = 0.0
    counted: Mapping[str, float] = field(default_factory=dict)
    """By what is counted."""


def read_sample(page: str) -> Sample:
    """Read what ASK prints."""
    first = page.split("\n", 1)[0]
    # Docker has words of its own, where the node can't be reached.
    words = first.split() if first.startswith("# api ") else []
    pid = words[4] if len(words) > 4 else ""
    values: dict[str, float] = {}
    for line in page.splitlines():
        name, _, value = line.rpartition(" ")
        if not line.startswith("#") and name.partition("{")[0] in (PASSES, FAULTS_COUNTED, PEAK, *COUNTED):
            key = name.partition("{")[0]
            values[key] = values.get(key, 0.0) + float(value)
    return Sample(
        is_api_ready=words[2:3] == ["200"],
        pid=pid,
        passes=values.get(PASSES),
        faults=values.get(FAULTS_COUNTED, 0.0),
        memory_bytes=values.get(PEAK, 0.0),
        counted={what: values.get(name, 0.0) for name, what in COUNTED.items()},
    )


@dataclass(frozen=True, kw_only=True)
class WatchResult:
    """What was seen of the operator."""

    samples: int
    answers: int
    passes: int
    """Of all its processes."""
    faults: int
    processes: int
    unexplained_restarts: int
    """Less those that the chaos made, or may have made."""
    longest_silence_s: float
    longest_silence_at_s: float
    api_ready_share: float
    peak_memory_mib: int
    memory_mib: Sequence[int]
    """The most in each minute since the start; 0 where it was never read."""
    counted: Mapping[str, int]
    """Of the calendar, by all its processes."""

    def document(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)


class Watch:
    """Looks at the operator once a second, in a thread of its own."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._open = 0
        """Disturbances that last."""
        self._allowed: list[float] = []
        """Restarts that a disturbance may still cause, by when that is to have happened."""
        self._pid = ""
        self._last = Sample(is_api_ready=False, pid="")
        self._passes, self._faults, self._processes, self._restarts = 0.0, 0.0, 0, 0
        self._samples = self._answers = self._ready = 0
        self._peak_bytes: dict[int, float] = {}
        """By the minute since the start."""
        self._counted = dict.fromkeys(COUNTED.values(), 0.0)
        self._silent_since_s = time.monotonic()
        self._longest_s, self._longest_at_s = 0.0, 0.0

    @contextmanager
    def disturbed(self, *, restarts: int) -> Iterator[None]:
        """While this is open, the operator may be silent; soon after it, it may have been started again so often."""
        with self._lock:
            self._open += 1
            self._allowed += [float("inf")] * restarts
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1
                until_s = time.monotonic() + CONSEQUENCE_S
                for _ in range(restarts):
                    if float("inf") in self._allowed:
                        self._allowed.remove(float("inf"))
                        self._allowed.append(until_s)
                self._silent_since_s = time.monotonic()

    def run(self, ended: threading.Event) -> None:
        """Look until it is ended."""
        while not ended.wait(LOOK_S):
            try:
                _, page = in_node(CONTROL_PLANE, "sh", "-c", ASK)
            except TimeoutExpired:  # the machine itself stands still
                continue
            with self._lock:
                self._take(read_sample(page), time.monotonic())

    def result(self) -> WatchResult:
        """What was seen until now."""
        with self._lock:
            return WatchResult(
                samples=self._samples,
                answers=self._answers,
                passes=round(self._passes),
                faults=round(self._faults),
                processes=self._processes,
                unexplained_restarts=self._restarts,
                longest_silence_s=round(self._longest_s, 1),
                longest_silence_at_s=round(self._longest_at_s, 1),
                api_ready_share=round(self._ready / max(1, self._samples), 4),
                peak_memory_mib=max(self._memory_mib(), default=0),
                memory_mib=self._memory_mib(),
                counted={what: round(count) for what, count in self._counted.items()},
            )

    def _memory_mib(self) -> list[int]:
        last = max(self._peak_bytes, default=-1)
        return [round(self._peak_bytes.get(minute, 0.0) / 2**20) for minute in range(last + 1)]

    def _take(self, sample: Sample, now_s: float) -> None:
        self._samples += 1
        self._ready += sample.is_api_ready
        if sample.pid and sample.pid != self._pid:
            self._note_process(sample.pid, now_s)
        if sample.passes is not None:
            self._answers += 1
            minute = int(self._log.now_s() // 60)
            self._peak_bytes[minute] = max(self._peak_bytes.get(minute, 0.0), sample.memory_bytes)
            more = sample.passes - (self._last.passes or 0.0)
            self._passes += more
            faults = sample.faults - self._last.faults
            self._faults += faults
            for what, count in sample.counted.items():
                self._counted[what] += count - self._last.counted.get(what, 0.0)
            if faults:
                self._log.say("wrong", f"the operator has counted {faults:.0f} faults: its log says which")
            self._last = sample
            if more > 0:
                self._silent_since_s = now_s
        if self._open or not sample.is_api_ready:
            self._silent_since_s = now_s
        if (silent_s := now_s - self._silent_since_s) > self._longest_s:
            self._longest_s, self._longest_at_s = silent_s, self._log.now_s()

    def _note_process(self, pid: str, now_s: float) -> None:
        """There is a new process of the operator: find out whether we are why."""
        self._processes += 1
        is_first, self._pid = not self._pid, pid
        self._last = Sample(is_api_ready=False, pid=pid)
        self._allowed = [until_s for until_s in self._allowed if until_s >= now_s]
        if is_first:
            self._log.say("operator", f"its process is {pid}")
        elif self._allowed:
            self._allowed.remove(min(self._allowed))
            self._log.say("operator", f"it was started again: process {pid}")
        else:
            self._restarts += 1
            self._log.say("wrong", f"the operator was started again, and not by us: process {pid}")
