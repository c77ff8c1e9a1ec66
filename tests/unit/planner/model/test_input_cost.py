"""What reading and decoding adds to a step: on a CPU slice times add up, on a GPU the slowest of three decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dueby_api.input_cost import FREE, InputCost
from dueby_planner.model.input_cost import SERIAL_US, step_with_input
from dueby_planner.profiles.pool import build_pool
from support.planner import job, profile, step_document

TEN_MS = 10_000


@pytest.mark.parametrize(
    ("cost", "device", "contention", "latency"),
    [
        pytest.param({}, {}, None, 10_000, id="free: the model alone"),
        pytest.param({"decode_us": 300}, {}, None, 10_000 + 8 * 300, id="decoding adds up"),
        pytest.param({"decode_us": 300, "get_us": 100}, {}, None, 10_000 + 8 * 400, id="and reading"),
        pytest.param({"decode_us": 300}, {"threads": 4}, None, 10_000 + 8 * 75, id="over the cores of the slice"),
        pytest.param({"decode_us": 300}, {}, 1.5, (10_000 + 8 * 300) * 3 // 2, id="contention slows both"),
        pytest.param({"decode_us": 0.1}, {}, None, 10_001, id="rounded up"),
        pytest.param({"decode_us": 300}, {}, 1.1, 13_640, id="to the microsecond, where floats say 13,641"),
        pytest.param(
            {"bytes_per_image": 10**9, "bandwidth_bytes_per_s": 1}, {}, None, 10_000, id="bandwidth is a GPU's term"
        ),
    ],
)
def test_on_a_cpu_slice_times_add_up(
    cost: dict[str, float], device: dict[str, int], contention: float | None, latency: int
) -> None:
    spec = profile(engine="openvino", device=device, contention=contention).spec
    terms = FREE.replace(**cost)
    assert step_with_input(spec, TEN_MS, 8, terms, cores=99).latency_us == latency


@pytest.mark.parametrize(
    ("cost", "cores", "contention", "latency"),
    [
        pytest.param({}, 1, None, 10_000, id="free: the model alone"),
        pytest.param({"decode_us": 1_000, "get_us": 200}, 1, None, 10_000, id="decoding hides behind the model"),
        pytest.param({"decode_us": 1_000, "get_us": 500}, 1, None, 12_000, id="the CPUs are slower"),
        pytest.param({"decode_us": 1_000, "get_us": 500}, 7, None, 10_000, id="enough CPUs"),
        pytest.param({"decode_us": 10_001, "get_us": 0}, 7, None, 11_430, id="rounded up"),
        pytest.param(
            {"bytes_per_image": 100_000, "bandwidth_bytes_per_s": 40_000_000},
            *(1, None, 20_000),
            id="the network is slower",
        ),
        pytest.param({"bytes_per_image": 10**9}, 1, None, 10_000, id="an unknown bandwidth is no limit"),
        pytest.param({}, 1, 1.5, 10_000, id="nothing to decode: no contention"),
        pytest.param({"decode_us": 1_250}, 1, 1.5, 15_000, id="contention, where the cores decode all the time"),
        pytest.param({"decode_us": 1_250}, 4, 1.5, 11_250, id="contention, where they decode for a quarter of it"),
        pytest.param({"decode_us": 2_500}, 1, 1.5, 20_000, id="the CPUs are slower than the model beside them"),
        pytest.param({"decode_us": 1_250}, 1, 1.1, 11_000, id="contention to the microsecond"),
    ],
)
def test_on_a_gpu_the_slowest_decides(
    cost: dict[str, float], cores: int, contention: float | None, latency: int
) -> None:
    terms, spec = FREE.replace(**cost), profile(engine="cudagraph", contention=contention).spec
    assert step_with_input(spec, TEN_MS, 8, terms, cores=cores).latency_us == latency


@pytest.mark.parametrize(
    ("engine", "serial", "bytes_per_image", "latency"),
    [
        pytest.param("cudagraph", 1_300.0, 100_000, 10_400, id="no number of cores is enough"),
        pytest.param("cudagraph", 1_250.1, 100_000, 10_001, id="rounded up"),
        pytest.param("cudagraph", 1_200.0, 100_000, 10_000, id="it hides behind the model"),
        pytest.param("cudagraph", 1_300.0, 0, 10_000, id="images that are made up need none of it"),
        pytest.param("openvino", 1_300.0, 100_000, 10_000, id="on a CPU slice it is part of the contention"),
    ],
)
def test_what_is_done_for_one_image_at_a_time_is_not_divided_by_cores(
    engine: str, serial: float, bytes_per_image: int, latency: int
) -> None:
    spec = profile(engine=engine, serialMicros=serial).spec
    cost = InputCost(bytes_per_image=bytes_per_image)
    assert step_with_input(spec, TEN_MS, 8, cost, cores=10**6).latency_us == latency


def test_where_no_profile_says_what_is_serial_it_is_assumed() -> None:
    spec, cost = profile(engine="cudagraph").spec, InputCost(bytes_per_image=100_000)
    assert step_with_input(spec, 1, 10, cost, cores=10**6).latency_us == 10 * SERIAL_US


@given(
    st.sampled_from(["eager", "openvino", "ncnn", "compile", "cuda", "cudagraph"]),
    st.integers(1, 10**7),
    st.integers(1, 512),
    st.floats(0, 10**6),
    st.integers(1, 64),
    st.floats(1, 3),
)
def test_input_never_makes_a_step_faster_and_more_cores_none_slower(
    engine: str, latency: int, size: int, decode_us: float, cores: int, contention: float
) -> None:
    cost, spec = InputCost(decode_us=decode_us, get_us=0), profile(engine=engine, contention=contention).spec
    step_us = step_with_input(spec, latency, size, cost, cores=cores).latency_us
    assert latency <= step_with_input(spec, latency, size, cost, cores=cores + 1).latency_us <= step_us


def test_a_gpus_worker_gets_all_cores_if_decoding_slows_the_gpu_for_as_long_as_it_lasts() -> None:
    measured = profile(device_class="c", engine="cuda", contention=1.5, steps=[step_document(8, TEN_MS, 50_000)])
    pool = build_pool(job().spec, [measured], {"c": 1}, cost=InputCost(decode_us=6_250, get_us=0), cores={"c": 8})
    choice = pool.groups[0].choices[0]
    # All eight cores decode for 6.25 of the model's 10 ms. Four would do it in 12.5 ms, and the model would take 15 ms.
    assert (choice.latency_us, choice.cores) == (13_125, 8)


@pytest.mark.parametrize("engine", ["openvino", "cudagraph"])
def test_the_warm_up_grows_by_as_much_as_the_step(engine: str) -> None:
    steps = [step_document(8, TEN_MS, 50_000, p50=40_000)]
    measured = profile(device_class="c", engine=engine, steps=steps, startupMicros={"p50": 1_000, "p95": 2_000})
    cost = InputCost(decode_us=5_000, get_us=0)
    free, loaded = (build_pool(job().spec, [measured], {"c": 1}, cost=c).groups[0].choices[0] for c in (FREE, cost))
    grown = loaded.latency_us - free.latency_us
    assert grown > 0
    assert loaded.start_us == 2_000 + 50_000 + grown
    assert loaded.expected_start_us == 1_000 + 40_000 + grown
    assert loaded.expected_warmup_us == 40_000 + grown
