"""The work step, from a worker's configuration to its summary.

Start-up is part of every plan, so what can wait is not imported here: the window for probes opens first, and whoever
finds the sink full, as a worker does that is started again after the job's end, never loads torch.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dueby_api.step_config import WorkConfig
from dueby_worker.engines.host import pin_to_cores
from dueby_worker.output.sink import Holdings, read_claim
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.progress import Progress
from dueby_worker.telemetry.serve import serve_progress


def work(config: WorkConfig, *, process_age_us: Callable[[], int]) -> dict[str, Any]:
    """Do the share, help with the others', and return the summary when every part is in the sink."""
    if config.cores:
        pin_to_cores(config.cores)
    progress = Progress(worker=config.worker, share=config.own_share)
    port_file = Path(config.port_file) if config.port_file else None
    serve_progress(progress, host=config.host, port=config.port, port_file=port_file)
    store = open_store(config.sink.uri)
    if not _is_done_already(config, store):
        from dueby_worker.steps.worker_run import run_worker

        run_worker(config, store=store, progress=progress, process_age_us=process_age_us)
    progress.enter("done")
    return {
        "progress": progress.document(),
        "engine": config.engine,
        "miniBatchSize": config.mini_batch_size,
        "plannedBatches": config.iterations + 1,
        "seconds": round(process_age_us() / 1e6, 3),
        "peakMemoryMiB": _peak_memory_mib(),
    }


def _is_done_already(config: WorkConfig, store: Store) -> bool:
    """Whether the sink is this very job's and every part is there."""
    claim = None if config.retry_failed or config.fingerprint is None else read_claim(store)
    if claim is None or (claim.fingerprint, claim.part_size) != (config.fingerprint, config.part_size):
        return False
    holdings = Holdings(store, config.grid)
    holdings.refresh()
    return holdings.is_complete


def _peak_memory_mib() -> int:
    """The most that this process ever held; ru_maxrss would include its parent's at the fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024
