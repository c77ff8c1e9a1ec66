"""What the machine allows, from files as the kernel writes them, and how it is cut into devices."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from dueby_api.errors import Invalid
from dueby_api.inference_job import Model
from dueby_profiler.machine.interference import CpuTimes, foreign_cores, read_times
from dueby_profiler.machine.layouts import Layout, Slice, cpu_layouts, gpu_layouts
from dueby_profiler.machine.limits import Limits, read_limits
from dueby_profiler.machine.machine import software_versions
from dueby_profiler.measuring.choices import choose, shorten
from dueby_profiler.presets import FULL, QUICK
from dueby_worker.engines import host

GIB = 1024**3
FOUR_CORES = frozenset(range(4))


def a_root(folder: Path, *, cgroup: str, files: dict[str, str], available_mib: int = 8192) -> Path:
    """Return a file system with these limits."""
    written = {
        "proc/self/cgroup": cgroup,
        "proc/meminfo": f"MemTotal: 99999999 kB\nMemAvailable: {available_mib * 1024} kB\n",
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }
    for name, text in written.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("cgroup", "files", "usable", "memory_mib"),
    [
        pytest.param("0::/\n", {}, 4.0, 8192, id="no limits at all"),
        pytest.param(
            "0::/\n", {"cpu.max": "150000 100000\n", "memory.max": f"{GIB}\n"}, 1.5, 1024, id="v2 in a container"
        ),
        pytest.param("0::/\n", {"cpu.max": "max 100000\n", "memory.max": "max\n"}, 4.0, 8192, id="v2 without limits"),
        pytest.param(
            "0::/pod/box\n",
            {"pod/cpu.max": "200000 100000\n", "pod/box/cpu.max": "max 100000\n", "pod/box/memory.max": f"{4 * GIB}\n"},
            2.0,
            4096,
            id="v2: the parent allows less",
        ),
        pytest.param(
            "0::/hosts/own/path\n", {"cpu.max": "100000 100000\n"}, 1.0, 8192, id="v2: a path that is not there inside"
        ),
        pytest.param(
            "4:memory:/box\n2:cpu,cpuacct:/box\n0::/\n",
            {
                "cpu,cpuacct/box/cpu.cfs_quota_us": "300000\n",
                "cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
                "memory/box/memory.limit_in_bytes": f"{2 * GIB}\n",
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            3.0,
            2048,
            id="v1",
        ),
        pytest.param(
            "2:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            4.0,
            8192,
            id="v1: no quota",
        ),
        pytest.param("0::/\n", {"cpu.max": "900000 100000\n"}, 4.0, 8192, id="a quota above the affinity"),
    ],
)
def test_limits_are_the_least_of_what_applies(
    tmp_path: Path, cgroup: str, files: dict[str, str], usable: float, memory_mib: int
) -> None:
    limits = read_limits(root=a_root(tmp_path, cgroup=cgroup, files=files), cores=FOUR_CORES)
    assert limits.usable == usable
    assert limits.memory_mib == memory_mib
    assert limits.cores == (0, 1, 2, 3)


def some_limits(*, cores: int, usable: float) -> Limits:
    return Limits(cores=tuple(range(cores)), usable=usable, memory_mib=8192)


@pytest.mark.parametrize(
    ("cores", "usable", "expected"),
    [
        pytest.param(2, 2.0, {"cpu-1": 2, "cpu-2": 1}, id="two cores"),
        pytest.param(1, 1.0, {"cpu-1": 1}, id="one core"),
        pytest.param(6, 6.0, {"cpu-1": 6, "cpu-2": 3, "cpu-4": 1}, id="six cores"),
        pytest.param(8, 3.7, {"cpu-1": 3, "cpu-2": 1}, id="a quota of 3.7 of eight cores"),
        pytest.param(8, 0.5, {"cpu-1": 1}, id="half a core is a slice all the same"),
    ],
)
def test_cores_are_cut_into_slices(cores: int, usable: float, expected: dict[str, int]) -> None:
    layouts = cpu_layouts(some_limits(cores=cores, usable=usable))
    assert {layout.device_class: len(layout.slices) for layout in layouts} == expected


def test_slices_have_cores_of_their_own() -> None:
    pairs = cpu_layouts(some_limits(cores=4, usable=4.0))[1]
    assert [place.cores for place in pairs.slices] == [(0, 1), (2, 3)]


def test_slices_are_not_pinned_where_time_and_not_cores_are_given() -> None:
    layouts = cpu_layouts(some_limits(cores=8, usable=4.0))
    assert {place.cores for layout in layouts for place in layout.slices} == {None}


def test_gpus_of_a_product_are_one_layout_and_share_the_hosts_cores() -> None:
    layouts = gpu_layouts({"NVIDIA-L4": ["GPU-a", "GPU-b"], "Tesla-T4": ["GPU-c"]}, some_limits(cores=8, usable=8.0))
    assert {layout.device_class: [place.gpu for place in layout.slices] for layout in layouts} == {
        "NVIDIA-L4": ["GPU-a", "GPU-b"],
        "Tesla-T4": ["GPU-c"],
    }
    assert {place.threads for layout in layouts for place in layout.slices} == {2}


ONE = Layout(device_class="cpu-1", slices=(Slice(threads=1), Slice(threads=1)))
TWO = Layout(device_class="cpu-2", slices=(Slice(threads=2),))
GPU = Layout(device_class="NVIDIA-L4", slices=(Slice(threads=2, gpu="GPU-a"),))


@pytest.mark.parametrize(
    ("model", "classes", "expected"),
    [
        pytest.param(
            Model(),
            (),
            {
                "NVIDIA-L4": ("cudagraph", "cuda"),
                "cpu-1": ("openvino", "ncnn", "eager"),
                "cpu-2": ("openvino", "ncnn", "eager"),
            },
            id="auto compares all that is built quickly, the likely fastest first",
        ),
        pytest.param(
            Model(engine="compile"),
            (),
            {"cpu-1": ("compile",), "cpu-2": ("compile",)},
            id="an engine by name leaves out the devices it can't run on",
        ),
        pytest.param(
            Model(engine="tensorrt", precision="fp16"), (), {"NVIDIA-L4": ("tensorrt",)}, id="a GPU's engine by name"
        ),
        pytest.param(Model(precision="fp16"), (), {"NVIDIA-L4": ("cudagraph", "cuda")}, id="fp16 is for GPUs"),
        pytest.param(Model(engine="eager"), ("cpu-2",), {"cpu-2": ("eager",)}, id="a class by name"),
    ],
)
def test_what_is_measured_with_what(
    model: Model, classes: tuple[str, ...], expected: dict[str, tuple[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenVINO is not there on every processor.
    monkeypatch.setattr(host, "find_spec", lambda package: package)
    chosen = choose([GPU, ONE, TWO], model, classes)
    assert {choice.layout.device_class: choice.engines for choice in chosen} == expected


def test_auto_compares_what_takes_long_to_build_where_there_is_time_on_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "find_spec", lambda package: package)
    seconds = {preset.name: preset.gpu_build_s for preset in (QUICK, FULL)}
    engines = {
        name: [one.engines for one in choose([GPU, ONE], Model(), (), gpu_build_s=s)] for name, s in seconds.items()
    }
    on_cores = ("openvino", "ncnn", "eager")
    assert engines == {
        "quick": [("cudagraph", "cuda"), on_cores],
        "full": [("cudagraph", "cuda", "inductor"), on_cores],
    }


def test_a_profile_names_the_libraries_that_decide_how_fast_engines_are(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"torch": "2.13.0", "tensorrt-cu13": "11.4.0", "triton": "3.7.0", "onnxruntime-gpu": "1.27", "pip": "26"}

    def version(name: str) -> str:
        if name not in known:
            raise PackageNotFoundError(name)
        return known[name]

    monkeypatch.setattr(host, "version", version)
    assert software_versions() == {name: version for name, version in known.items() if name != "pip"}


@pytest.mark.parametrize("missing", ["ncnn", "pnnx"])
def test_auto_starts_no_process_of_an_engine_that_is_not_installed(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "find_spec", lambda package: None if package == missing else package)
    assert [choice.engines for choice in choose([ONE], Model(), ())] == [("openvino", "eager")]
    # A process says what is missing.
    assert [choice.engines for choice in choose([ONE], Model(engine="ncnn"), ())] == [("ncnn",)]


@pytest.mark.parametrize(
    ("model", "classes", "sentence"),
    [
        pytest.param(Model(), ("cpu-3",), "--class: .*no devices of the class cpu-3; it has .*cpu-1", id="class"),
        pytest.param(
            Model(precision="fp16"),
            ("cpu-1",),
            "--precision: no engine has fp16 on cpu-1; choose another precision",
            id="precision",
        ),
        pytest.param(Model(engine="cuda"), ("cpu-1",), "--engine: cuda doesn't run on cpu-1", id="engine"),
    ],
)
def test_what_can_not_be_measured_is_refused_with_a_sentence(
    model: Model, classes: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(Invalid, match=sentence):
        choose([GPU, ONE, TWO], model, classes)


def test_a_quick_profile_takes_the_gpus_and_one_layout_of_the_cores() -> None:
    kept, left_out = shorten(choose([GPU, ONE, TWO], Model(), ()))
    assert [choice.layout for choice in kept] == [GPU, ONE]
    assert [choice.layout for choice in left_out] == [TWO]


def moment(at_s: float, machine_s: float, own_s: float) -> CpuTimes:
    return CpuTimes(at_s=at_s, machine_s=machine_s, own_s=own_s)


@pytest.mark.parametrize(
    ("after", "cores"),
    [
        pytest.param(moment(10, 20, 20), 0.0, id="all of it was ours"),
        pytest.param(moment(10, 20, 15), 0.5, id="half a core was someone else's"),
        pytest.param(moment(10, 19, 20), 0.0, id="clocks that tick apart"),
        pytest.param(moment(0, 0, 0), 0.0, id="no time has passed"),
    ],
)
def test_what_others_used_is_what_we_did_not(after: CpuTimes, cores: float) -> None:
    assert foreign_cores(moment(0, 0, 0), after) == cores


def test_only_the_watched_cores_are_counted_and_idling_is_not(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text(
        "cpu  999 0 0 0 0 0 0 0 0 0\ncpu0 100 1 20 5000 700 3 4 72 50 0\ncpu1 999 0 0 0 0 0 0 0 0 0\nintr 1\n"
    )
    times = read_times([0], clock=lambda: 5.0, stat=stat)
    assert times.at_s == 5.0
    assert times.machine_s == pytest.approx(2.0)
