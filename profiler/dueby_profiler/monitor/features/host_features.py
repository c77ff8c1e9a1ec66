"""The features of the machine and of its processes, which psutil reads."""

from collections.abc import Iterator

from dueby_profiler.monitor.features.feature import Feature, FeatureSource
from dueby_profiler.monitor.features.feature import FeatureGroup as Group
from dueby_profiler.monitor.features.feature import FeatureKind as Kind

_ALWAYS = "since the monitor began"
_LOAD = "processes that run or wait to run, averaged over the last {} min, relative to the logical cores"


def _cpu() -> Iterator[Feature]:
    for name, call, doc in (
        ("ctx_switches", "ctx_switches", "context switches"),
        ("interrupts", "interrupts", "interrupts"),
        ("soft_interrupts", "soft_interrupts", "software interrupts"),
    ):
        study = f"cpu/interrupts/{name}_count"
        yield _host(
            Group.CPU,
            f"cpu_{name}",
            Kind.COUNTER,
            "",
            f"cpu_stats().{call}",
            f"{doc} {_ALWAYS}",
            study=study,
        )
    for place, (minutes, word) in enumerate(((1, "one"), (5, "five"), (15, "fifteen"))):
        yield _host(
            Group.CPU,
            f"cpu_load_{minutes}m_percent",
            Kind.LEVEL,
            "%",
            f"getloadavg()[{place}]",
            _LOAD.format(minutes),
            study=f"cpu/load/avg_sys_load_{word}_min_percent",
        )
    busy = "all of cpu_times() but idle and iowait"
    yield _host(Group.CPU, "cpu_busy_s", Kind.COUNTER, "s", busy, f"core-seconds of work by all processes {_ALWAYS}")
    yield _rate(Group.CPU, "cpu_busy_cores", "cores", "cores at work", of="cpu_busy_s")


def _memory() -> Iterator[Feature]:
    for name, unit, field, doc, study in (
        ("available_bytes", "B", "available", "free, or freed at once when it is needed", "available_memory_sys_MB"),
        ("used_bytes", "B", "used", "used by processes and the kernel", "used_memory_sys_MB"),
        ("used_percent", "%", "percent", "share of all memory that is not available", "used_memory_sys_percent"),
        ("free_bytes", "B", "free", "not used for anything", ""),
        ("cached_bytes", "B", "cached", "files kept in memory, such as weights and compiled models", ""),
    ):
        call = f"virtual_memory().{field}"
        key = f"memory/{study}" if study else ""
        yield _host(Group.MEMORY, f"memory_{name}", Kind.LEVEL, unit, call, doc, study=key)


def _process() -> Iterator[Feature]:
    since = "since it started"
    for way, doc in (
        ("voluntary", "switches because it had to wait"),
        ("involuntary", "switches because it had to yield its core"),
    ):
        yield _host(
            Group.PROCESS,
            f"process_{way}_ctx_switches",
            Kind.COUNTER,
            "",
            f"Process.num_ctx_switches().{way}",
            f"{doc} {since}",
            study=f"process/{way}_proc_ctx_switches",
        )
    for name, unit, field, doc, study in (
        ("rss_bytes", "B", "rss", "memory that it holds", "resident_set_size_proc_MB"),
        ("virtual_bytes", "B", "vms", "address space that it has requested", "virtual_memory_size_proc_MB"),
        ("shared_bytes", "B", "shared", "the part of it that is files and shared memory", "shared_memory_proc_MB"),
        ("text_bytes", "B", "text", "code of its program", "text_resident_set_proc_MB"),
        ("data_bytes", "B", "data", "data and stack, as address space", "data_resident_set_proc_MB"),
        ("library_bytes", "B", "lib", "always 0 since Linux 2.6", "lib_memory_proc_MB"),
        ("dirty_pages", "", "dirty", "always 0 since Linux 2.6", "dirty_pages_proc_count"),
    ):
        call = f"Process.memory_info().{field}"
        key = f"process/memory/{study}"
        yield _host(Group.PROCESS, f"process_{name}", Kind.LEVEL, unit, call, doc, study=key)
    cpu = "user + system of Process.cpu_times()"
    yield _host(Group.PROCESS, "process_cpu_s", Kind.COUNTER, "s", cpu, f"core-seconds of work {since}")
    yield _rate(Group.PROCESS, "process_cpu_cores", "cores", "cores at work for it", of="process_cpu_s")
    yield _host(
        Group.PROCESS,
        "process_threads",
        Kind.LEVEL,
        "",
        "Process.num_threads()",
        "threads, including waiting ones",
    )


def _disk() -> Iterator[Feature]:
    for name, unit, field, doc, study in (
        ("reads", "", "read_count", "reads", "disk/counter/disk_read_sys_count"),
        ("writes", "", "write_count", "writes", "disk/counter/disk_write_sys_count"),
        ("read_s", "s", "read_time", "time of all reads; concurrent ones add up", "disk/time/disk_read_time_sys_s"),
        ("write_s", "s", "write_time", "time of all writes; concurrent ones add up", "disk/time/disk_write_time_sys_s"),
        ("busy_s", "s", "busy_time", "time in which there was anything to do", "disk/time/disk_busy_time_sys_s"),
        ("read_bytes", "B", "read_bytes", "bytes read", ""),
        ("write_bytes", "B", "write_bytes", "bytes written", ""),
    ):
        call = f"disk_io_counters().{field}"
        yield _host(Group.DISK, f"disk_{name}", Kind.COUNTER, unit, call, f"{doc} {_ALWAYS}", study=study)
    for way in ("read", "write"):
        study = f"bandwidth/disk_{way}_sys_bandwidth_MBs"
        name, of = f"disk_{way}_bytes_per_s", f"disk_{way}_bytes"
        yield _rate(Group.DISK, name, "B/s", f"bandwidth, {way}", of=of, study=study)


def _network() -> Iterator[Feature]:
    for name, field, doc in (("sent", "bytes_sent", "sent"), ("received", "bytes_recv", "received")):
        call = f"net_io_counters().{field}"
        text = f"bytes {doc} over all interfaces {_ALWAYS}"
        yield _host(Group.NETWORK, f"network_{name}_bytes", Kind.COUNTER, "B", call, text)
    for name, short in (("sent", "sent"), ("received", "recv")):
        yield _rate(
            Group.NETWORK,
            f"network_{name}_bytes_per_s",
            "B/s",
            f"bandwidth, {name}",
            of=f"network_{name}_bytes",
            study=f"bandwidth/net_{short}_sys_bandwidth_Mbits",
        )


def _host(
    group: Group, name: str, kind: Kind, unit: str, call: str, doc: str, *, study: str = "", of: str = ""
) -> Feature:
    source = FeatureSource.PSUTIL
    return Feature(name=name, group=group, source=source, kind=kind, unit=unit, call=call, doc=doc, study=study, of=of)


def _rate(group: Group, name: str, unit: str, doc: str, *, of: str, study: str = "") -> Feature:
    return _host(group, name, Kind.RATE, unit, f"`{of}` over time", doc, study=study, of=of)


HOST = (*_cpu(), *_memory(), *_process(), *_disk(), *_network())
