"""Simulated clusters with faults at every write; and bugs that the simulation must find.

Each run is a process of its own, since the standard library beneath DueBy is simulated in it.
"""

import os
import re
import subprocess
import sys

import pytest

from support.source_tree import REPOSITORY


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """Run seeds in one process, as CI has a core for each test."""
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "faults.py"), "--processes", "1", *options]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize("seeds", ["0-24", pytest.param("25-99", marks=pytest.mark.deep)])
def test_whatever_fails_no_row_is_lost_or_doubled_and_no_promise_broken(seeds: str) -> None:
    ended = run("--seeds", seeds)
    assert ended.returncode == 0, ended.stdout[-10_000:] + ended.stderr[-5_000:]
    first, last = map(int, seeds.split("-"))
    assert re.search(rf"^{last - first + 1} seeds, .* 0 seeds broken;", ended.stdout, re.M)


@pytest.mark.parametrize(
    ("seed", "asked", "answer"),
    [
        pytest.param("50", "provisioningrequests", "refused", id="a request is refused"),
        pytest.param("256", "provisioningrequests", "expired", id="a booking ends before its node has come"),
        pytest.param("130", "provisioningrequests", "revoked", id="nodes that were promised are taken back"),
        pytest.param("100", "pods", "never", id="no node comes for minutes"),
        pytest.param("83", "capacitybuffers", "never", id="no buffer brings one"),
    ],
)
def test_an_autoscaler_that_makes_no_node_leaves_every_job_with_its_rows(seed: str, asked: str, answer: str) -> None:
    """Where other worlds belong to these seeds by now, take those in which an autoscaler says so."""
    ended = run("--seed", seed, "-v")
    assert ended.returncode == 0, ended.stdout[-10_000:] + ended.stderr[-5_000:]
    assert re.search(rf"autoscaler: {asked} \S+: {answer}$", ended.stdout, re.M)


def test_a_seed_is_the_same_world_each_time() -> None:
    # All but the memory that this process really has.
    outputs = (re.sub(r'"peakMemoryMiB": \d+', "", run("--seed", "3", "-v").stdout) for _ in range(2))
    first, second = (output.splitlines()[:-1] for output in outputs)
    assert len(first) > 100
    assert first == second


@pytest.mark.parametrize(
    ("mutation", "seed", "found"),
    [
        pytest.param("lease", 0, "holds the Lease", id="an operator writes after its Lease has run out"),
        pytest.param("predecessors", 1, "takes the Lease", id="a living operator is taken for a dead one"),
        pytest.param("own-rows", 0, "has finished", id="a job that was restored overwrites its own rows"),
        pytest.param("look", 9, "another job's", id="a worker writes into a sink that is another job's by then"),
        pytest.param("create-only", 0, "writes over", id="a part is written over another worker's"),
        pytest.param("set-aside", 1, "images without a row", id="a sink is finished while it has images without a row"),
        pytest.param("newest-row", 1, "is replaced twice", id="a row that no longer counts is replaced"),
        pytest.param("own-object", 7, "somebody else", id="pods are told what somebody else has written"),
        pytest.param("devices", 2, "are taken", id="workers are started on more devices than are free"),
        pytest.param("promises", 2, "was promised", id="a job in time ends some seconds after its deadline"),
    ],
)
def test_a_bug_is_found_within_a_hundred_seeds(mutation: str, seed: int, found: str) -> None:
    """The seed that finds it today is tried first; where another world belongs to it by now, the others are."""
    ended = run("--seeds", f"{seed},0-99", "--mutation", mutation, "--first")
    assert ended.returncode == 1
    assert found in ended.stdout
