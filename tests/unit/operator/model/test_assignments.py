"""An assignment of the domain, the plan of the wire and a worker's configuration say the same."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.engines import ENGINES
from dueby_api.errors import Invalid
from dueby_api.grid import Share
from dueby_api.inference_job import parse_job
from dueby_api.plan import PlannedWorker
from dueby_api.schema import decode, validate
from dueby_api.step_config import WorkConfig
from dueby_operator.model.assignments import assignment_of, planned_worker
from dueby_operator.model.step_configs import common_config, own_config
from dueby_planner.model.capacity import DeviceChoice, Provision
from dueby_planner.schedule.job import Assignment
from dueby_worker.steps.command import load_config
from support.decisions import infj
from support.operator import worker

MICROS = st.integers(0, 10**12)
PROVISIONS = st.builds(Provision, expected_us=st.integers(1, 10**12), late_us=MICROS)
SHARES = st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)).map(lambda ends: Share(first=min(ends), end=max(ends)))


@st.composite
def assignments(draw: st.DrawFn) -> Assignment:
    warmup_us, startup_us, late_us = draw(MICROS), draw(MICROS), draw(MICROS)
    return Assignment(
        worker=draw(st.from_regex(r"w[0-9]{1,4}", fullmatch=True)),
        revision=draw(st.integers(1, 1000)),
        device_class=draw(st.sampled_from(["cpu-2", "NVIDIA-A100-SXM4-40GB", "NVIDIA-L4@node-7"])),
        choice=DeviceChoice(
            engine=draw(st.sampled_from(list(ENGINES))),
            mini_batch_size=draw(st.integers(1, 4096)),
            latency_us=draw(MICROS),
            start_us=startup_us + warmup_us + late_us,
            expected_start_us=startup_us + warmup_us,
            expected_warmup_us=warmup_us,
            profile=draw(st.text(min_size=1, max_size=40)),
            step_ratio=draw(st.floats(0.5, 2.0)),
        ),
        iterations=draw(st.integers(0, 10**9)),
        share=draw(SHARES),
        until_us=draw(st.none() | MICROS),
        pool=draw(st.sampled_from(["", "burst"])),
        provision=draw(st.none() | PROVISIONS),
    )


@given(assignments())
def test_what_is_written_of_an_assignment_is_read_back_as_it_was(assignment: Assignment) -> None:
    text = json.dumps(planned_worker(assignment).document())
    assert assignment_of(decode(PlannedWorker, text)) == assignment


def test_a_workers_configuration_says_what_its_assignment_says(tmp_path: Path) -> None:
    first, second = (worker(f"w{i}", first=10 * i, end=10 * i + 10).assignment for i in range(2))
    job = parse_job(infj(gpus={"maxIterations": 9}))
    path = tmp_path / "config.json"
    common = common_config(job, first, threads=3, images=200, part_size=10, fingerprint="f")
    workers = [own_config(each, rank=rank, source=job.spec.source) for rank, each in enumerate((first, second))]
    path.write_text(json.dumps({**common, "shares": [[0, 10], [10, 20]], "workers": workers}))

    told = load_config(WorkConfig, path, index=1)

    assert (told.worker, told.revision, told.device_class) == ("w1", second.revision, second.device_class)
    assert (told.engine, told.mini_batch_size) == (second.choice.engine, second.choice.mini_batch_size)
    assert (told.iterations, told.max_iterations) == (second.iterations, 9)
    assert (told.own_share, told.place) == (second.share, 1)
    assert (told.images, told.part_size, told.fingerprint, told.threads) == (200, 10, "f", 3)
    assert (told.model, told.source, told.sink) == (job.spec.model, job.spec.source, job.spec.sink)


def test_a_worker_whose_plan_knows_what_the_store_gives_asks_it_no_faster_than_its_part() -> None:
    plain = worker("w0", first=0, end=10).assignment
    fed = replace(plain, read_rate=400_000_000)
    objects, shard = (parse_job(infj(source={"uri": uri})).spec.source for uri in ("s3://photos/", "s3://photos/a.tar"))

    assert own_config(fed, rank=0, source=objects)["requestsPerSecond"] == 400
    assert "requestsPerSecond" not in own_config(fed, rank=0, source=shard)
    assert "requestsPerSecond" not in own_config(plain, rank=0, source=objects)


def test_a_share_that_ends_before_it_begins_is_no_plan() -> None:
    document = planned_worker(worker("w0", first=3, end=5).assignment).document()
    with pytest.raises(Invalid, match=r"^PlannedWorker: share: \[5, 3\] is not a run of parts$|^share: \[5, 3\]"):
        validate(PlannedWorker, {**document, "share": [5, 3]})
