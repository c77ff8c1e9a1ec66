"""NVML against a stand-in of its C library, which nvidia-ml-py loads like the real one; and the real one if there is
one.
"""

from pathlib import Path

import pytest

from dueby_profiler.machine import nvml
from dueby_profiler.machine.limits import MIB
from dueby_profiler.monitor.features.gpu_features import GPU
from dueby_profiler.monitor.sampler import gpu_values
from support.nvml import SLICE, WHOLE, build_nvml, run_with_nvml

NAMES = {feature.name for feature in GPU}
OBSERVE = """
import json, os, pathlib
from dueby_profiler.machine import nvml
from dueby_profiler.monitor.sampler import gpu_values

def seen(state):
    return [gpu_values(state.values), state.problem]
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nvml(tmp_path_factory.mktemp("driver"))


@pytest.mark.compiler
def test_gpus_are_found_with_their_class_memory_and_users(driver: Path) -> None:
    script = """
import dataclasses, json
from dueby_profiler.machine import nvml
gpus = nvml.read_gpus()
print(json.dumps([[dataclasses.astuple(gpu), nvml.is_used(gpu.uuid)] for gpu in gpus]))
"""
    assert run_with_nvml(driver, script) == [
        [[WHOLE, "NVIDIA-A100-SXM4-40GB", 40_960, "570.86.15", None], True],
        [[SLICE, "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", 5120, "570.86.15", None], False],
    ]


@pytest.mark.compiler
def test_a_whole_gpu_has_every_feature_in_base_units(driver: Path) -> None:
    script = f"{OBSERVE}\nwith nvml.observe_gpus() as ask:\n    print(json.dumps(seen(ask({WHOLE!r}))))"
    values, problem = run_with_nvml(driver, script)
    assert problem is None
    assert set(values) == NAMES
    assert values["gpu_memory_free_bytes"] == values["gpu_memory_total_bytes"] - values["gpu_memory_used_bytes"]
    assert (values["gpu_power_w"], values["gpu_temperature_c"], values["gpu_busy_percent"]) == (312.5, 61, 97)
    held_down = {name for name in NAMES if name.startswith("gpu_throttle_") and values[name] == 1}
    assert held_down == {"gpu_throttle_power_cap", "gpu_throttle_sw_thermal"}


@pytest.mark.compiler
def test_the_limits_of_clock_and_power_are_read_beside_the_state(driver: Path) -> None:
    script = f"""
import json
from dueby_profiler.machine import nvml
print(json.dumps([state.values for state in nvml.read_load([{WHOLE!r}, {SLICE!r}])]))
"""
    whole, part = run_with_nvml(driver, script)
    assert (whole["power_w"], whole["power_limit_w"]) == (312.5, 400.0)
    assert (whole["sm_clock_mhz"], whole["sm_clock_max_mhz"]) == (1410, 1410)
    assert "power_limit_w" not in part


@pytest.mark.compiler
def test_a_slice_of_a_gpu_has_memory_features_only_and_that_is_no_problem(driver: Path) -> None:
    script = f"{OBSERVE}\nwith nvml.observe_gpus() as ask:\n    print(json.dumps(seen(ask({SLICE!r}))))"
    values, problem = run_with_nvml(driver, script)
    assert problem is None
    assert {name.partition("_")[2].partition("_")[0] for name in values} == {"memory", "bar1"}
    assert values["gpu_memory_total_bytes"] == 5 * 1024**3


@pytest.mark.compiler
def test_a_driver_that_lacks_a_function_lacks_its_feature_alone(tmp_path: Path) -> None:
    script = f"{OBSERVE}\nwith nvml.observe_gpus() as ask:\n    print(json.dumps(seen(ask({WHOLE!r}))))"
    values, problem = run_with_nvml(build_nvml(tmp_path, "-DOLD_DRIVER"), script)
    assert problem is None
    assert NAMES - set(values) == {"gpu_energy_j"}


@pytest.mark.compiler
def test_a_gpu_that_is_lost_meanwhile_is_reported_and_not_raised(driver: Path, tmp_path: Path) -> None:
    script = f"""{OBSERVE}
with nvml.observe_gpus() as ask:
    before = seen(ask({WHOLE!r}))
    pathlib.Path(os.environ["NVML_STANDIN_LOST"]).touch()
    print(json.dumps([before, seen(ask({WHOLE!r})), seen(ask({SLICE!r}))]))
"""
    before, after, other = run_with_nvml(driver, script, NVML_STANDIN_LOST=str(tmp_path / "lost"))
    assert set(before[0]) == NAMES
    assert after == [{}, "GPU is lost"]
    assert "gpu_memory_used_bytes" in other[0]
    assert other[1] is None


@pytest.mark.compiler
def test_a_machine_whose_driver_is_not_loaded_has_no_gpus(driver: Path) -> None:
    script = (
        f"{OBSERVE}\nwith nvml.observe_gpus() as ask:\n    print(json.dumps([nvml.read_gpus(), seen(ask('GPU-0'))]))"
    )
    assert run_with_nvml(driver, script, NVML_STANDIN_NO_DRIVER="1") == [[], [{}, "the NVIDIA driver is not loaded"]]


@pytest.mark.compiler
@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param("18", "it was updated and not loaded again: restart the machine", id="updated without a restart"),
        pytest.param("15", "fallen off the bus", id="lost"),
        pytest.param("999", "start the container again", id="a container whose devices were taken away"),
        pytest.param("20", "see what nvidia-smi says", id="any other"),
    ],
)
def test_a_driver_that_has_come_to_grief_is_a_sentence(driver: Path, code: str, words: str) -> None:
    script = """
import json
from dueby_api.errors import Invalid
from dueby_profiler.machine import nvml
try:
    nvml.read_gpus()
except Invalid as error:
    print(json.dumps(error.message))
"""
    said = run_with_nvml(driver, script, NVML_STANDIN_INIT=code)
    assert said.startswith("NVIDIA's driver can't be asked for its GPUs (")
    assert words in said


@pytest.mark.compiler
def test_a_gpu_that_shares_the_hosts_memory_has_none_of_its_own(driver: Path) -> None:
    script = """
import json
from dueby_profiler.machine import nvml
print(json.dumps([gpu.memory_mib for gpu in nvml.read_gpus()]))
"""
    assert run_with_nvml(driver, script, NVML_STANDIN_UNIFIED="1") == [None, 5120]


@pytest.mark.gpu
def test_the_real_library_answers_for_a_real_gpu() -> None:
    (gpu, *_) = nvml.read_gpus()
    with nvml.observe_gpus() as ask:
        state = ask(gpu.uuid)
    values = gpu_values(state.values)
    assert state.problem is None
    assert set(values) <= NAMES
    assert values["gpu_memory_total_bytes"] // MIB == gpu.memory_mib
    assert 0 < values["gpu_memory_used_bytes"] < values["gpu_memory_total_bytes"]
