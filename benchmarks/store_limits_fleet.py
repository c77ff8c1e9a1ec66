"""Sixteen workers on one machine, as far as the store can tell: whether they end when the planner says.

A machine of two cores has no sixteen devices. So the workers are the product's (`python -m dueby_worker work`), told
what a plan tells them, and their network waits, as it does while a GPU computes: what is left on the cores is what a
worker does beside its device. They are started as `dueby run` starts its first ones, while it still lists the images:
they load their network and wait for their plan, and the clock is started with that. So sixteen that import PyTorch at
the same time on two cores are no part of it.

The plan is the planner's, for that many such devices and the store's limit. How long they take from there to their
first mini-batch and after their last one is measured first, as a profile would have it; the rest follows.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from dueby_api.engines import EngineName
from dueby_api.inference_job import InferenceJob, parse_job
from dueby_api.input_cost import InputCost
from dueby_api.schema import validate
from dueby_api.step_messages import IndexResult, WorkResult
from dueby_operator.model.step_configs import common_config, early_config, index_config, own_config
from dueby_planner.model.capacity import DeviceChoice, PoolGroup
from dueby_planner.model.feed import feed_of, read_rates
from dueby_planner.model.plan import Plan, plan_earliest
from dueby_planner.model.problem import Problem
from dueby_planner.model.rule import Spreads
from dueby_planner.model.shares import cut_shares
from dueby_planner.profiles.pool import Pool
from dueby_planner.schedule.job import Assignment
from dueby_worker.engines.host import process_environment
from store_limits_network import IMAGE_MS
from support.s3 import S3Server

MODEL = {"name": "python/store_limits_network:make", "imageSize": 64, "precision": "fp32"}
DEVICE_CLASS = "waiting-device"
ENGINE: EngineName = "eager"
COUNTS = (1, 4, 16)
# Images a second that the store gives, by its limit on requests or on bytes.
IMAGES_PER_S, MINI_BATCH = 10, 2
# As long as a plan isn't told how much nodes and runs of a class differ, it assumes this.
SPREADS = Spreads(run=0.02, node=0.03)
# What a worker says that waits for its plan.
LOADED = "is loaded; waiting for the plan"
CONFIDENCE, LONG_US = 0.95, 3600 * 10**6


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """So many workers that read one store."""

    workers: int
    delay_ms: int
    limit: str
    """What the store gives no more of: "requests" or "bytes"."""
    is_planned_for: bool
    """Whether the plan knows the limit."""
    planned_workers: int
    planned_s: float
    """When the plan expects the last row, from the moment at which the workers are told what to do."""
    actual_s: float
    refused: float
    """Share of the requests that the store refused."""
    load: float
    """Processes of this machine that wanted a core during its last minute, these among them."""


class OpenStore(Protocol):
    """Runs a store before which answers wait for so long, with limits as the proxy's words."""

    def __call__(self, delay_ms: int, *words: str) -> AbstractContextManager[tuple[Mapping[str, str], str]]:
        """Return its variables, and the URL of its counts."""


def measure_fleets(
    folder: Path, server: S3Server, open_store: OpenStore, *, photos: int, delays_ms: Sequence[int]
) -> Iterator[Fleet]:
    """Yield a fleet of each size within each limit, and one whose plan doesn't know of it."""
    benches = {
        limit: Bench(folder / limit, server, open_store, photos=photos, limit=limit)
        for limit in ("none", "requests", "bytes")
    }
    for count in COUNTS:
        start_us = benches["none"].measure_start_us(count)
        for limit, delays in (("requests", delays_ms), ("bytes", delays_ms[:1])):
            for delay_ms in delays:
                yield benches[limit].run(count, start_us, delay_ms)
            if count == COUNTS[0]:
                yield benches[limit].run(count, start_us, delays[0], is_planned_for=False)


class Bench:
    """Plans and runs fleets within one kind of limit: on "requests", on "bytes", or "none"."""

    def __init__(self, folder: Path, server: S3Server, open_store: OpenStore, *, photos: int, limit: str) -> None:
        self._folder, self._server, self._open_store = folder, server, open_store
        self._photos, self._limit = photos, limit
        folder.mkdir(parents=True)
        photo_bytes = fmean(path.stat().st_size for path in (server.folder / "in").glob("*.jpg"))
        self._per_s = round(IMAGES_PER_S * photo_bytes) if limit == "bytes" else IMAGES_PER_S
        self._runs = 0
        self._indexed = self._index()

    def run(self, count: int, start_us: int, delay_ms: int, *, is_planned_for: bool = True) -> Fleet:
        """Run so many workers as they are planned, and return when they were done."""
        plan = self._plan(count, start_us, is_planned_for=is_planned_for)
        words = ["--requests-per-s" if self._limit == "requests" else "--bytes-per-s", str(self._per_s)]
        with self._open_store(delay_ms, *words) as (environment, counter):
            seconds = self._work(plan, environment, count)
            with urllib.request.urlopen(counter) as answer:
                counts = json.load(answer)
        return Fleet(
            workers=count,
            delay_ms=delay_ms,
            limit=self._limit,
            is_planned_for=is_planned_for,
            planned_workers=plan.gpus,
            planned_s=plan.expected_finish_us / 1e6,
            actual_s=seconds,
            refused=counts["refused"] / counts["requests"],
            load=os.getloadavg()[0],
        )

    def measure_start_us(self, count: int) -> int:
        """Return what a run of so many workers takes beside their steps, from a store that is near.

        It is what their first images, the engine and the end take, side by side. In a bench within a limit it would be
        longer, since a worker keeps to its part of the job's limit.
        """
        plan = self._plan(count, 1, images=2 * count * MINI_BATCH)
        seconds = self._work(plan, self._server.env, count)
        (group,) = plan.groups
        return max(1, round(1e6 * seconds) - (group.iterations + 1) * group.choice.latency_us)

    def _job(self, sink: Path) -> InferenceJob:
        limits = {} if self._limit == "none" else {f"{self._limit}PerSecond": self._per_s}
        spec = {
            "deadline": "1h",
            "model": MODEL,
            "source": {"uri": self._server.uri("in"), "limits": limits},
            "sink": {"uri": str(sink)},
        }
        metadata = {"name": "fleet"}
        return parse_job(
            {"apiVersion": "dueby.dev/v1alpha1", "kind": "InferenceJob", "metadata": metadata, "spec": spec}
        )

    def _index(self) -> IndexResult:
        path = self._folder / "index.json"
        path.write_text(json.dumps(index_config(self._job(self._folder / "indexed"))))
        words = [sys.executable, "-m", "dueby_worker", "index", "--config", str(path)]
        done = subprocess.run(words, env=self._environment(self._server.env, 1), stdout=subprocess.PIPE, check=True)
        return validate(IndexResult, json.loads(done.stdout.splitlines()[-1]))

    def _plan(self, count: int, start_us: int, *, images: int | None = None, is_planned_for: bool = True) -> Plan:
        """Return the plan that ends earliest on so many devices."""
        step_us = round(MINI_BATCH * _image_us(count))
        choice = DeviceChoice(
            engine=ENGINE,
            mini_batch_size=MINI_BATCH,
            latency_us=step_us,
            start_us=start_us + step_us,
            expected_start_us=start_us + step_us,
            expected_warmup_us=step_us,
            profile="measured",
        )
        job = self._job(self._folder)
        # What the index step's one reader saw is another matter than the store's limit.
        assert self._indexed.input_cost is not None
        cost = InputCost(bytes_per_image=self._indexed.input_cost.bytes_per_image)
        group = PoolGroup(device_class=DEVICE_CLASS, count=count, choices=(choice,), available_us=0)
        is_fed = is_planned_for and images is None
        problem = Problem(
            pool=Pool(groups=(group,), spreads=SPREADS),
            images=images or self._photos,
            time_us=LONG_US,
            confidence=CONFIDENCE,
            feed=feed_of(job.spec, cost) if is_fed else None,
        )
        plan = plan_earliest(problem, slower=Fraction(0))
        assert plan is not None
        return plan

    def _work(self, plan: Plan, environment: Mapping[str, str], count: int) -> float:
        """Run the plan's workers into a sink of their own; return after how many seconds the last row was there."""
        self._runs += 1
        folder = self._folder / f"run-{self._runs}"
        shutil.copytree(self._folder / "indexed", folder / "rows")
        configs = self._configs(plan, folder)
        (early := folder / "early.json").write_text(json.dumps(early_config(self._job(folder), ENGINE, threads=1)))
        processes = []
        for number, config in enumerate(configs):
            (path := folder / f"w{number}.json").write_text(json.dumps(config))
            words = [sys.executable, "-m", "dueby_worker", "work", "--config", str(path), "--early", str(early)]
            with (folder / f"w{number}.log").open("wb") as log:
                own = self._environment(environment, count)
                pipe = subprocess.PIPE
                processes.append(subprocess.Popen(words, env=own, stdin=pipe, stdout=pipe, stderr=log))
        while any(LOADED not in path.read_text() for path in folder.glob("w*.log")):
            time.sleep(0.1)
            if any(process.poll() is not None for process in processes):
                break
        began_s = time.monotonic()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        outputs = [process.communicate()[0] for process in processes]
        seconds = time.monotonic() - began_s
        if any(process.returncode for process in processes):
            logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
            sys.exit(f"store_limits: a worker has failed:\n{logs[-3000:]}")
        results = [validate(WorkResult, json.loads(output.splitlines()[-1])) for output in outputs]
        if any(result.progress.state != "done" for result in results):
            sys.exit("store_limits: a worker has ended before every part was there")
        return seconds

    def _configs(self, plan: Plan, folder: Path) -> list[dict[str, Any]]:
        job, (group,) = self._job(folder / "rows"), plan.groups
        shares = cut_shares(-(-plan.problem.images // plan.part_size), [group.images_each] * group.count)
        feed = plan.problem.feed
        read = [None] * group.count if feed is None else read_rates(feed, [group.choice] * group.count)
        assignments = [
            Assignment(
                worker=f"w{number}",
                revision=1,
                device_class=DEVICE_CLASS,
                choice=group.choice,
                iterations=group.iterations,
                share=share,
                read_rate=read_rate,
            )
            for number, (share, read_rate) in enumerate(zip(shares, read, strict=True))
        ]
        common = common_config(
            job, assignments[0], threads=1, images=plan.problem.images, part_size=plan.part_size, fingerprint=None
        )
        cut = {"shares": [[share.first, share.end] for share in shares]}
        return [
            {**common, **cut, **own_config(assignment, rank=number, source=job.spec.source)}
            for number, assignment in enumerate(assignments)
        ]

    def _environment(self, store: Mapping[str, str], count: int) -> dict[str, str]:
        path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
        own = {"PYTHONPATH": path, IMAGE_MS: str(_image_us(count) / 1000)}
        return {**os.environ, **store, **process_environment(ENGINE, 1), **own}


def _image_us(count: int) -> float:
    """Return how long an image takes one of so many devices: one fewer would not take all that the store gives."""
    return 1e6 * (count - 0.9) / IMAGES_PER_S
