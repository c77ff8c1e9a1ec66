"""Jobs of traces that are made by hand, for the simulated cluster of benchmarks/calendar_traces.py."""

from calendar_traces_cluster import LATENCY_US, MINI_BATCH, Noise, TraceJob

SECOND = LATENCY_US
QUIET = Noise(rate=0.0, start=0.0)


def job(name: str, work_s: int, *, deadline_s: int, at_s: int = 0, gpus: int = 1) -> TraceJob:
    return TraceJob(
        name=name,
        submitted_us=at_s * SECOND,
        deadline_us=deadline_s * SECOND,
        gpus=gpus,
        images=work_s * MINI_BATCH,
    )
