"""The features of an NVIDIA GPU, which NVML reads, and of a process's memory on it, which torch's allocator counts.

torch counts nine things (allocations, segments, bytes ...) in three pools and four ways (now, at most, added, freed),
which makes 108 statistics of the same form. Seven ratios are computed from them as the study's monitor does it.
"""

from collections.abc import Iterator

from dueby_profiler.monitor.features.feature import Feature, FeatureSource
from dueby_profiler.monitor.features.feature import FeatureGroup as Group
from dueby_profiler.monitor.features.feature import FeatureKind as Kind

_SMI = "05_gpu_smi/gpu_0_"
_MIB = "nvmlDeviceGetMemoryInfo"
_BAR1 = "nvmlDeviceGetBAR1MemoryInfo"
_UTILIZATION = "nvmlDeviceGetUtilizationRates"
_DRIVER = "since the driver was loaded"
_GPU: tuple[tuple[str, Kind, str, str, str, str], ...] = (
    ("memory_total_bytes", Kind.LEVEL, "B", f"{_MIB}.total", "memory", "fb_total_MiB"),
    ("memory_used_bytes", Kind.LEVEL, "B", f"{_MIB}.used", "memory in use by all processes", "fb_used_MiB"),
    ("memory_free_bytes", Kind.LEVEL, "B", f"{_MIB}.free", "memory that is free", "fb_free_MiB"),
    (
        "bar1_total_bytes",
        Kind.LEVEL,
        "B",
        f"{_BAR1}.bar1Total",
        "memory that can be mapped over PCIe",
        "bar1_total_MiB",
    ),
    ("bar1_used_bytes", Kind.LEVEL, "B", f"{_BAR1}.bar1Used", "the part of it that is mapped", "bar1_used_MiB"),
    ("bar1_free_bytes", Kind.LEVEL, "B", f"{_BAR1}.bar1Free", "the part of it that is not mapped", "bar1_free_MiB"),
    (
        "busy_percent",
        Kind.LEVEL,
        "%",
        f"{_UTILIZATION}.gpu",
        "share of the driver's last period (1/6 to 1 s) in which a kernel ran",
        "gpu_util_in_percent",
    ),
    (
        "memory_busy_percent",
        Kind.LEVEL,
        "%",
        f"{_UTILIZATION}.memory",
        "share of the same period in which memory was read or written",
        "mem_util_in_percent",
    ),
    ("temperature_c", Kind.LEVEL, "°C", "nvmlDeviceGetTemperature", "the chip's temperature", "temp_in_C"),
    ("power_w", Kind.LEVEL, "W", "nvmlDeviceGetPowerUsage", "power of the whole board", "power_in_W"),
    ("energy_j", Kind.COUNTER, "J", "nvmlDeviceGetTotalEnergyConsumption", f"energy {_DRIVER}", ""),
    ("sm_clock_mhz", Kind.LEVEL, "MHz", "nvmlDeviceGetClockInfo(SM)", "clock of the multiprocessors", ""),
    ("memory_clock_mhz", Kind.LEVEL, "MHz", "nvmlDeviceGetClockInfo(MEM)", "clock of the memory", ""),
)
# Bits of nvmlDeviceGetCurrentClocksThrottleReasons: 1 if the clocks are held down for this reason.
REASONS: dict[str, tuple[int, str, str]] = {
    "idle": (0x01, "nothing runs", "clocks_throttle_reason_gpu_idle"),
    "application_clocks": (0x02, "somebody set a limit", "clocks_throttle_reason_applications_clocks_setting"),
    "power_cap": (0x04, "the power limit is reached", "clocks_throttle_reason_sw_power_cap"),
    "hw_slowdown": (
        0x08,
        "the hardware halves them: heat or power brake",
        "clocks_throttle_reason_hw_slowdown",
    ),
    "sw_thermal": (0x20, "the driver lets the GPU cool down", ""),
    "hw_thermal": (0x40, "the hardware lets the GPU cool down", ""),
    "hw_power_brake": (0x80, "the power supply demands it", ""),
}


def _gpu() -> Iterator[Feature]:
    for name, kind, unit, call, doc, study in _GPU:
        yield _nvml(f"gpu_{name}", kind, unit, call, doc, study)
    for name, (bit, doc, study) in REASONS.items():
        call = f"nvmlDeviceGetCurrentClocksThrottleReasons & {bit:#x}"
        yield _nvml(f"gpu_throttle_{name}", Kind.LEVEL, "0, 1", call, f"clocks are held down: {doc}", study)


def _nvml(name: str, kind: Kind, unit: str, call: str, doc: str, study: str) -> Feature:
    key = f"{_SMI}{study}" if study else ""
    source = FeatureSource.NVML
    return Feature(name=name, group=Group.GPU, source=source, kind=kind, unit=unit, call=call, doc=doc, study=key)


_COUNTED = {
    "allocation": "tensors' blocks",
    "segment": "segments taken by cudaMalloc",
    "active": "blocks in use, or waiting for a stream to finish with them",
    "inactive_split": "free blocks that can't be returned on their own",
    "allocated_bytes": "bytes of tensors' blocks",
    "reserved_bytes": "bytes of segments",
    "active_bytes": "bytes in use, or waiting for a stream to finish with them",
    "inactive_split_bytes": "bytes of free blocks that can't be returned on their own",
    "requested_bytes": "bytes that tensors requested, before rounding",
}
_POOLS = {
    "all": "",
    "small_pool": ", in the pool for less than 1 MiB",
    "large_pool": ", in the pool for 1 MiB and more",
}
_WAYS = {
    "current": (Kind.LEVEL, "now"),
    "peak": (Kind.LEVEL, "the most so far"),
    "allocated": (Kind.COUNTER, "all that the process ever added"),
    "freed": (Kind.COUNTER, "all that the process ever freed"),
}
_OVERSIZE = {
    "oversize_allocations": "blocks above the size that is split",
    "oversize_segments": "segments above the size that is split",
}
_SINGLE: dict[str, tuple[Kind, str, str, bool]] = {
    "num_alloc_retries": (Kind.COUNTER, "", "calls of cudaMalloc that failed at first", True),
    "num_ooms": (Kind.COUNTER, "", "out-of-memory errors", True),
    "max_split_size": (Kind.LEVEL, "B", "the size above which blocks are not split", True),
    "num_sync_all_streams": (Kind.COUNTER, "", "waits for all streams", False),
    "num_device_alloc": (Kind.COUNTER, "", "calls of cudaMalloc or cuMemMap", False),
    "num_device_free": (Kind.COUNTER, "", "calls of cudaFree or cuMemUnmap", False),
}


def _allocator() -> Iterator[tuple[str, Feature]]:
    """Yield each statistic with its path in torch."""
    for counted, doc in _COUNTED.items():
        for pool, where in _POOLS.items():
            for way, (kind, when) in _WAYS.items():
                yield _statistic(f"{counted}.{pool}.{way}", kind, _unit(counted), f"{doc}{where}, {when}")
    for counted, doc in _OVERSIZE.items():
        for way, (kind, when) in _WAYS.items():
            yield _statistic(f"{counted}.{way}", kind, "", f"{doc}, {when}")
    for name, (kind, unit, doc, studied) in _SINGLE.items():
        yield _statistic(name, kind, unit, doc, studied=studied)


def _unit(counted: str) -> str:
    return "B" if counted.endswith("bytes") else ""


def _statistic(path: str, kind: Kind, unit: str, doc: str, *, studied: bool = True) -> tuple[str, Feature]:
    return path, Feature(
        name="torch_" + path.replace(".", "_"),
        group=Group.ALLOCATOR,
        source=FeatureSource.TORCH,
        kind=kind,
        unit=unit,
        call=f"memory_stats: {path}",
        doc=doc,
        study=f"03_gpu_mem/{path}" if studied else "",
    )


_RATIOS: dict[str, tuple[str, str, str, str]] = {
    "fragmentation": (
        "",
        "allocated_bytes.all / reserved_bytes.all",
        "share of the segments that tensors use: 1 if nothing is lost",
        "memory_fragmentation_ratio",
    ),
    "segment_mean_bytes": (
        "B",
        "requested_bytes.all / segment.all",
        "requested bytes per segment",
        "avg_segment_size_current_bytes",
    ),
    "large_segment_mean_bytes": (
        "B",
        "requested_bytes.large_pool / segment.large_pool",
        "the same for the large pool",
        "avg_large_segment_size_current_bytes",
    ),
    "small_segment_mean_bytes": (
        "B",
        "requested_bytes.small_pool / segment.small_pool",
        "the same for the small pool",
        "avg_small_segment_size_current_bytes",
    ),
    "active_block_mean_bytes": (
        "B",
        "active_bytes.all / active.all",
        "mean size of a block in use",
        "avg_block_size_current_bytes",
    ),
    "inactive_block_mean_bytes": (
        "B",
        "inactive_split_bytes.all / inactive_split.all",
        "mean size of a free block that can't be returned",
        "avg_inactive_block_size_current_bytes",
    ),
    "rounding_bytes": (
        "B",
        "allocated_bytes.all - requested_bytes.all",
        "bytes lost to rounding",
        "allocation_rounding_overhead_bytes",
    ),
}


def _ratios() -> Iterator[Feature]:
    for name, (unit, call, doc, study) in _RATIOS.items():
        yield Feature(
            name=f"torch_{name}",
            group=Group.ALLOCATOR,
            source=FeatureSource.TORCH,
            kind=Kind.LEVEL,
            unit=unit,
            call=f"{call}, .current of each",
            doc=doc,
            study=f"04_agg_gpu/{study}",
        )


GPU = tuple(_gpu())
STATISTICS: dict[str, Feature] = dict(_allocator())
"""What torch counts, by its path in torch's statistics."""
ALLOCATOR = (*STATISTICS.values(), *_ratios())
