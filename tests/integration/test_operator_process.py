"""The operator as a process, against an API server that doesn't know it at first, stops it, and goes away."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from dueby_operator.kube.lease import LeaseTimes
from dueby_operator.kube.server_clock import steady_clock_s
from support.outage_server import OutageServer, outage_server

LIMIT_S = 600.0


@asynccontextmanager
async def operator(server: OutageServer, folder: Path, *command: str) -> AsyncIterator[tuple[Process, list[str]]]:
    """Run an operator, or another command of Python, and return it with the lines that it logs."""
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server.address}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    command = command or ("-m", "dueby_operator", "--worker-image=w", "--lease=dueby/dueby-operator")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        stdout=PIPE,
        stderr=STDOUT,
        env={**os.environ, "KUBECONFIG": str(folder / "kubeconfig")},
    )
    lines: list[str] = []
    reading = asyncio.create_task(read(process, lines))
    try:
        yield process, lines
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


async def read(process: Process, lines: list[str]) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        lines.append(line.decode())


async def until(holds: Callable[[], object], lines: list[str]) -> None:
    """Wait until it holds."""
    try:
        async with asyncio.timeout(LIMIT_S):
            while not holds():
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail("".join(lines))


def test_a_server_that_does_not_know_it_for_a_moment_does_not_end_it_and_a_signal_does(tmp_path: Path) -> None:
    async def go() -> None:
        async with outage_server() as server:
            server.status = 401
            async with operator(server, tmp_path) as (process, lines):
                await until(lambda: any("Kopf has ended" in line for line in lines), lines)
                server.status, asked = 200, len(server.requests)
                await until(lambda: server.passes, lines)
                assert server.lease.holder
                # Kopf alone asks for this, once it has signed in again: at that moment it would be cut off with a word.
                await until(lambda: ("GET", "/apis") in server.requests[asked:], lines)
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), LIMIT_S) == 0
            assert server.lease.holder == ""
            assert len([line for line in lines if "Kopf has ended" in line]) == 1, lines
            assert not [line for line in lines if "Traceback" in line], "".join(lines)

    asyncio.run(go())


def test_a_process_that_is_stopped_while_another_takes_the_lease_wakes_without_a_write(tmp_path: Path) -> None:
    async def go() -> None:
        async with outage_server() as server, operator(server, tmp_path) as (process, lines):
            await until(lambda: server.passes, lines)
            process.send_signal(signal.SIGSTOP)
            server.lease.put(holderIdentity="successor", renewTime="now", leaseDurationSeconds=3600)
            stopped_s = steady_clock_s()
            await until(lambda: steady_clock_s() > stopped_s + LeaseTimes().duration_s, lines)
            asked = len(server.requests)
            process.send_signal(signal.SIGCONT)
            await until(lambda: any("stopped: the Lease" in line for line in lines), lines)
            await until(lambda: len(server.requests) > asked + 3, lines)
            assert {method for method, _ in server.requests[asked:]} == {"GET"}
            assert server.lease.holder == "successor"

    asyncio.run(go())


def large_jobs(count: int) -> list[bytes]:
    """The largest jobs that an API server takes: labels have no limit but that of the object."""
    metadata = {"name": "@", "namespace": "team", "uid": "@", "generation": 1, "resourceVersion": "1"}
    labels = {f"l{label:06}": "" for label in range(110_000)}
    found = {"apiVersion": "dueby.dev/v1alpha1", "kind": "InferenceJob", "metadata": {**metadata, "labels": labels}}
    text = json.dumps(found, separators=(",", ":")).encode()
    assert 1.3e6 < len(text) < 1.5e6
    return [text.replace(b"@", b"j%d" % number) for number in range(count)]


# Kopf alone, with the handlers that the operator has.
KOPF = """
from dueby_operator.handlers import keep_watching, register
from dueby_operator.loop import ControlLoop
from dueby_operator.settings import OperatorSettings

settings = OperatorSettings(image="w")
loop = ControlLoop(settings, sign_in=lambda: None, claim=None)
keep_watching(register(loop, wake=lambda kind: print(kind, flush=True)), settings, None)
"""


@pytest.mark.deep
def test_many_of_the_largest_jobs_leave_kopf_within_a_part_of_the_charts_memory(tmp_path: Path) -> None:
    async def go() -> None:
        async with outage_server() as server:
            server.jobs = large_jobs(24)
            async with operator(server, tmp_path, "-c", KOPF) as (process, lines):
                # A watch that ends on a busy machine is followed by another one, which is shown the jobs again.
                await until(lambda: server.shown >= len(server.jobs) <= lines.count("inferencejobs\n"), lines)
                assert lines.count("inferencejobs\n") <= server.shown
                # In pages of 500, or all objects kept, it is more.
                assert peak_mib(process) < 240

    asyncio.run(go())


def peak_mib(process: Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (peak_kb,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return peak_kb / 1024
