"""What the planner's tests are made of: small pools, profiles and jobs as documents, and hypothesis strategies.

`Question` and `Kind` are the plain input of the reference planner. `problem_of` turns them into the product's input
through the documents that a user would write, so that reading these is tested as well.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from dueby_api.gpu_profile import GPUProfile, parse_profile
from dueby_api.inference_job import InferenceJob, parse_job
from dueby_api.store_limits import SourceLimit
from dueby_planner.deadline_classes import make_plan
from dueby_planner.model.capacity import DeviceChoice, PoolGroup
from dueby_planner.model.feed import StoreFeed
from dueby_planner.model.plan import Plan
from dueby_planner.model.problem import Problem
from dueby_planner.model.rule import Spreads
from dueby_planner.profiles.pool import Pool, build_pool
from dueby_planner.schedule.lag import OngoingWorker
from support.reference_planner import Kind, Question, Size, best_gpus

A100 = "NVIDIA-A100-SXM4-40GB"
NO_SPREADS = Spreads(run=0, node=0)


# ---- the product's values, for tests of one module


def choice(batch: int, latency: int, warmup: int = 0, **changes: Any) -> DeviceChoice:
    """Return a size whose start takes `warmup` at p50 and at p95. `start_us` is the one at p95."""
    fields: dict[str, Any] = {
        "engine": "cudagraph",
        "mini_batch_size": batch,
        "latency_us": latency,
        "start_us": warmup,
        "expected_start_us": warmup,
        "expected_warmup_us": warmup,
        "profile": "test",
    }
    fields |= changes
    return DeviceChoice(**{"start_spread_us": fields["start_us"] - fields["expected_start_us"], **fields})


def group(*choices: DeviceChoice, name: str = "a", count: int = 1, free: int = 0) -> PoolGroup:
    """Return devices of a class."""
    return PoolGroup(device_class=name, count=count, choices=choices, available_us=free)


def pool(*groups: PoolGroup, run: float = 0.0, node: float = 0.0) -> Pool:
    """Return a pool of GPUs, by default without any spread."""
    return Pool(groups=groups, spreads=Spreads(run=run, node=node))


def problem(*groups: PoolGroup, images: int, time: int, run: float = 0.0, node: float = 0.0, **changes: Any) -> Problem:
    """Return a problem on these groups, by default in the study's exact mode."""
    fields: dict[str, Any] = {"images": images, "time_us": time, "confidence": 0.5} | changes
    return Problem(pool=pool(*groups, run=run, node=node), **fields)


def store_feed(images_per_s: int, **changes: Any) -> StoreFeed:
    """Return a store that gives so many single objects a second."""
    limit = SourceLimit(name="s3://bucket", requests_per_s=images_per_s)
    return replace(StoreFeed(limits=(limit,), requests_per_image=Fraction(1), bytes_per_image=Fraction(0)), **changes)


def worker(
    name: str = "w0", *, size: int = 10, step: int = 10, rest: int = 10, iterations_left: int | None = None
) -> OngoingWorker:
    """Return a worker that by default does 1,000 images in 1,000 us."""
    return OngoingWorker(
        name=name, mini_batch_size=size, latency_us=step, rest_us=rest, iterations_left=iterations_left
    )


# ---- documents, as users write them


def profile_document(
    *, name: str = "a100", device_class: str = A100, steps: Sequence[dict[str, Any]] | None = None, **spec: Any
) -> dict[str, Any]:
    """Return a GPUProfile. `spec` replaces its fields, and a field that is None is left out."""
    whole = {
        "deviceClass": device_class,
        "model": {"name": "efficientnet_b0", "imageSize": 224, "precision": "fp32"},
        "engine": "cudagraph",
        "startupMicros": {"p50": 5_100_000, "p95": 6_200_000},
        "spread": {"run": 0.01, "node": 0.02},
        "steps": steps or [step_document(64, 14_010, 990_000, p50=900_000), step_document(256, 52_000, 1_400_000)],
    } | spec
    return {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "GPUProfile",
        "metadata": {"name": name},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def step_document(size: int, latency: int, warmup: int | None, *, p50: int | None = None) -> dict[str, Any]:
    """Return a row of a profile's steps."""
    step: dict[str, Any] = {"miniBatchSize": size, "latencyMicros": {"mean": latency}}
    if warmup is not None:
        step["warmupMicros"] = {"p50": warmup if p50 is None else p50, "p95": warmup}
    return step


def job_document(**spec: Any) -> dict[str, Any]:
    """Return an InferenceJob. `spec` replaces its fields, and a field that is None is left out."""
    whole = {
        "images": 1_000_000,
        "deadline": "10m",
        "source": {"uri": "/photos/catalog/*.jpg"},
        "sink": {"uri": "s3://bucket/catalog-out/"},
    } | spec
    return {
        "apiVersion": "dueby.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {"name": "catalog"},
        "spec": {key: value for key, value in whole.items() if value is not None},
    }


def named_job_document(name: str, **spec: Any) -> dict[str, Any]:
    """Return an InferenceJob of this name, with a sink of its own."""
    return {**job_document(**({"sink": {"uri": f"s3://bucket/{name}-rows/"}} | spec)), "metadata": {"name": name}}


def profile(**spec: Any) -> GPUProfile:
    """Return the parsed profile."""
    return parse_profile(profile_document(**spec))


def job(**spec: Any) -> InferenceJob:
    """Return the parsed job."""
    return parse_job(job_document(**spec))


# ---- from the reference's input to the product's


def profile_of(kind: Kind) -> GPUProfile:
    """Return the parsed profile of a kind."""
    given = {"run": kind.run, "node": kind.node, "ownStart": kind.own_start}
    spread = {key: value for key, value in given.items() if value is not None}
    return profile(
        name=f"profile-{kind.name}",
        device_class=kind.name,
        maxMiniBatchSize=kind.max_batch,
        startupMicros=kind.startup and {"p50": kind.startup[0], "p95": kind.startup[1]},
        spread=spread or None,
        steps=[
            step_document(s.batch, s.latency, s.warmup and s.warmup[1], p50=s.warmup and s.warmup[0])
            for s in kind.sizes
        ],
    )


def problem_of(question: Question) -> Problem:
    """Return the question as the product takes it."""
    gpus = {"max": question.most, "maxIterations": question.max_iterations}
    spec = job(
        images=question.images,
        confidence=question.confidence,
        gpus={"reserve": question.reserve} | {key: value for key, value in gpus.items() if value is not None},
    ).spec
    counts = {kind.name: kind.count for kind in question.kinds}
    return Problem(
        pool=build_pool(spec, [profile_of(kind) for kind in question.kinds], counts),
        images=question.images,
        time_us=question.time,
        confidence=spec.planned_confidence,
        max_gpus=spec.gpus.max,
        reserve=spec.gpus.reserve,
        max_iterations=spec.gpus.max_iterations,
    )


# ---- strategies. Their parts are made once, because making them takes hypothesis longer than drawing from them


def quantiles(most: int) -> st.SearchStrategy[tuple[int, int]]:
    """Draw (p50, p95)."""
    return st.tuples(st.integers(0, most), st.integers(0, most)).map(lambda pair: (min(pair), max(pair)))


def kinds(
    name: str, *, max_gpus: int = 5, max_sizes: int = 4, max_batch: int = 64, max_us: int = 40, own: bool = False
) -> st.SearchStrategy[Kind]:
    """Draw a class with up to 4 sizes, some without a warm-up, and perhaps MB, start-up and spreads.

    `own`: a part of the spread of its starts may be each start's own.
    """
    sizes = st.lists(
        st.builds(
            Size,
            batch=st.integers(1, max_batch),
            latency=st.integers(1, max_us),
            warmup=st.none() | quantiles(max_us),
        ),
        min_size=1,
        max_size=max_sizes,
        unique_by=lambda size: size.batch,
    )

    def build(*, sizes: list[Size], warmup: tuple[int, int], max_batch: int | None, **fields: Any) -> Kind:
        ascending = sorted(sizes, key=lambda size: size.batch)
        if ascending[-1].warmup is None:  # there is no larger size to take it from
            ascending[-1] = replace(ascending[-1], warmup=warmup)
        fits = None if max_batch is None else max(max_batch, ascending[0].batch)
        return Kind(sizes=tuple(ascending), max_batch=fits, **fields)

    return st.builds(
        build,
        name=st.just(name),
        count=st.integers(1, max_gpus),
        sizes=sizes,
        warmup=quantiles(max_us),
        max_batch=st.none() | st.integers(1, max_batch),
        startup=st.none() | quantiles(max_us),
        run=st.sampled_from([None, 0.0, 0.01, 0.05]),
        node=st.sampled_from([None, 0.0, 0.02, 0.1]),
        own_start=st.sampled_from([None, 0.3, 0.9, 1.0] if own else [None]),
    )


def questions(
    *, max_kinds: int = 3, max_iterations: int | None = None, max_us: int = 40, own: bool = False, **sizes: int
) -> st.SearchStrategy[Question]:
    """Draw a small question, whose images take a part of the pool or a little more than all; `own` is that of kinds."""
    limits = st.none() | st.integers(0, 20) if max_iterations is None else st.integers(0, max_iterations)
    pools = st.one_of(
        [
            st.tuples(*(kinds(name, max_us=max_us, own=own, **sizes) for name in "abcdef"[:count]))
            for count in range(1, max_kinds + 1)
        ]
    )

    def build(*, kinds: tuple[Kind, ...], percent: int, most: int | None, **fields: Any) -> Question:
        there = sum(kind.count for kind in kinds)
        allowed = None if most is None else min(most, there + 1)
        if allowed is not None:  # a job that may lose all of its devices is refused
            fields["reserve"] = min(fields["reserve"], allowed - 1)
        question = Question(kinds=kinds, images=1, most=allowed, **fields)
        everything = sum(gpu.images for gpu in best_gpus(question, question.time))
        return replace(question, images=max(1, everything * percent // 100))

    return st.builds(
        build,
        kinds=pools,
        percent=st.integers(1, 120),
        time=st.integers(1, 8 * max_us),
        confidence=st.sampled_from([0.5, 0.5, 0.8, 0.95, 0.99, 0.999]),
        most=st.none() | st.integers(1, 20),
        reserve=st.sampled_from([0, 0, 0, 1, 2]),
        max_iterations=limits,
    )


WORKERS = st.lists(
    st.builds(
        worker,
        size=st.integers(1, 20),
        step=st.integers(1, 20),
        rest=st.integers(0, 50),
        iterations_left=st.none() | st.integers(-1, 30),
    ),
    min_size=1,
    max_size=4,
)


def planned(asked: Problem) -> Plan:
    """Return the plan of a problem that has one."""
    found = make_plan(asked)
    assert isinstance(found, Plan), found
    return found
