"""A profile as a pod's last words: whole, and within what Kubernetes keeps of them."""

import base64
import gzip
import json
import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.engines import Precision
from dueby_api.errors import Invalid
from dueby_api.gpu_profile import ProfileSpec
from dueby_api.packed_profile import MAX_BYTES, pack_profile, unpack_profile
from dueby_api.schema import validate
from dueby_profiler.measuring.sweep import MAX_SIZE
from dueby_worker.steps.process_exit import MAX_MESSAGE_BYTES
from support.operator import profile

MAX_NUMBER = 10**15


def largest_profile() -> ProfileSpec:
    """Return a profile with every size and every field, in which nothing repeats itself: packing helps it least."""
    chance = random.Random(0)

    def micros(*names: str) -> dict[str, int]:
        return dict(zip(names, sorted(chance.randrange(MAX_NUMBER // 10, MAX_NUMBER) for _ in names)))

    def letters(count: int) -> str:
        return "".join(chance.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.", k=count))

    sizes = [2**power for power in range(MAX_SIZE.bit_length())]
    assert sizes[-1] == MAX_SIZE
    steps = [
        {
            "miniBatchSize": size,
            "samples": chance.randrange(10**9),
            "latencyMicros": micros("mean", "p50", "p90", "p95"),
            "warmupMicros": micros("p50", "p95"),
            "memoryMiB": chance.randrange(10**9),
        }
        for size in sizes
    ]
    document = {
        "deviceClass": letters(128),
        "model": {"name": letters(63), "imageSize": 4096, "precision": get_args(Precision)[0]},
        "engine": "cudagraph",
        "device": {
            "uuid": f"GPU-{letters(36)}",
            "memoryMiB": 10**7,
            "driver": letters(32),
            "threads": 1024,
            "slices": 1,
        },
        "software": {name: letters(48) for name in ("torch", "torchvision", "openvino", "dueby")},
        "measuredAt": "2026-11-25T10:43:07Z",
        "processes": 10**6,
        "maxMiniBatchSize": MAX_SIZE,
        "extrapolated": True,
        "startupMicros": micros("p50", "p95"),
        "spread": {"run": 0.1234, "node": 0.1234},
        "contention": 12.345,
        "busy": True,
        "steps": steps,
    }
    return validate(ProfileSpec, document)


def test_what_is_packed_comes_out_as_it_was() -> None:
    for spec in (profile().spec, largest_profile()):
        assert unpack_profile(pack_profile(spec), origin="pod") == spec


def test_the_largest_profile_fits_into_a_termination_message() -> None:
    message = json.dumps({"profile": pack_profile(largest_profile())}, separators=(",", ":"))
    assert len(message.encode()) <= MAX_MESSAGE_BYTES


@pytest.mark.parametrize(
    "packed",
    [
        pytest.param(pack_profile(profile().spec)[:-40], id="cut off"),
        pytest.param("", id="nothing"),
        pytest.param("not base64!", id="other letters"),
        pytest.param(base64.b64encode(b"{}").decode(), id="not compressed"),
        pytest.param(base64.b64encode(gzip.compress(b"not JSON")).decode(), id="not JSON"),
        pytest.param(base64.b64encode(gzip.compress(b"[1]")).decode(), id="not a mapping"),
        pytest.param(base64.b64encode(gzip.compress(b'{"engine": "eager"}')).decode(), id="not a profile"),
    ],
)
def test_what_is_no_packed_profile_is_refused(packed: str) -> None:
    with pytest.raises(Invalid):
        unpack_profile(packed, origin="pod")


def test_what_unpacks_to_more_than_a_profile_is_refused_before_it_is_unpacked() -> None:
    bomb = base64.b64encode(gzip.compress(b" " * (MAX_BYTES + 1))).decode()
    assert len(bomb) < 2000
    with pytest.raises(Invalid, match="unpacks to more than 16,384 bytes"):
        unpack_profile(bomb, origin="pod")


def test_what_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(Invalid, match="is not JSON"):
        unpack_profile(base64.b64encode(gzip.compress(b"[" * 4000)).decode(), origin="pod")


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_any_text_is_a_profile_or_refused(packed: str) -> None:
    with pytest.raises(Invalid):
        unpack_profile(packed, origin="pod")
