"""The work step, from a worker's configuration to its result.

Start-up time is part of every plan, so what can wait is not imported here. The server for probes starts first, and a
worker that finds the sink full, as one does that is restarted after the job's end, never loads torch.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dueby_api.step_config import WorkConfig
from dueby_api.step_messages import WorkResult
from dueby_worker.engines.host import pin_to_cores
from dueby_worker.output.sink import KnownParts
from dueby_worker.output.sink_manifest import read_newest_manifest
from dueby_worker.storage.retry import DEFAULT_RETRY
from dueby_worker.storage.store import Store
from dueby_worker.storage.stores import open_store
from dueby_worker.telemetry.progress import ProgressTracker
from dueby_worker.telemetry.serve import serve_progress

if TYPE_CHECKING:
    from dueby_worker.models.loading import LoadedModel


def work(
    config: WorkConfig,
    *,
    process_age_us: Callable[[], int],
    losses: int = 0,
    model: "LoadedModel | None" = None,
    imported_us: int | None = None,
) -> WorkResult:
    """Do the worker's share, help with other shares, and return the result. It was lost so many times before.

    `model` is the job's if it is loaded already (early.py), and `imported_us` how old the process was before that.
    `process_age_us` says how long this worker has been at it.

    The state in the result is "done" if every part is in the sink, and "spent" if parts are missing but the worker may
    run no further mini-batch.
    """
    if config.cores:
        pin_to_cores(config.cores)
    progress = ProgressTracker(worker=config.worker, share=config.own_share)
    port_file = Path(config.port_file) if config.port_file else None
    serve_progress(progress, host=config.host, port=config.port, port_file=port_file)
    store = open_store(config.sink.uri, retry=replace(DEFAULT_RETRY, waits=progress.sink_waits))
    if config.fingerprint is not None:
        # The index step has written to the sink. If it refuses now, something has changed and will be fixed.
        store.remember_written()
    is_complete = _is_complete_already(config, store)
    if not is_complete:
        from dueby_worker.steps.worker_run import run_worker

        is_complete = run_worker(
            config,
            store=store,
            progress=progress,
            process_age_us=process_age_us,
            losses=losses,
            model=model,
            imported_us=imported_us,
        )
    progress.enter("done" if is_complete else "spent")
    return WorkResult(
        progress=progress.report(),
        engine=config.engine,
        mini_batch_size=config.mini_batch_size,
        planned_batches=config.iterations + 1,
        seconds=round(process_age_us() / 1e6, 3),
        peak_memory_mib=_peak_memory_mib(),
    )


def _is_complete_already(config: WorkConfig, store: Store) -> bool:
    """Return whether the sink is this very job's and holds every part."""
    # A retry has work to do in a full sink. Without a fingerprint, nothing says that the sink is this job's.
    if config.retry_failed or config.fingerprint is None:
        return False
    manifest = read_newest_manifest(store)
    if manifest is None or (manifest.fingerprint, manifest.part_size) != (config.fingerprint, config.part_size):
        return False
    known_parts = KnownParts(store, manifest.grid)
    known_parts.refresh()
    return known_parts.is_complete


def _peak_memory_mib() -> int:
    """Return the most memory that this process ever held."""
    # Not ru_maxrss, which includes the parent's memory at the fork.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024
