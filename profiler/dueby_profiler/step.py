"""The profiling step of a job: a pod measures the one device it was given and ends with the profile as its last
message.

The step has no credentials, neither for Kubernetes nor for any store. It needs none: whoever created the pod knows the
node and reads the pod's termination message. Its exit codes are those of the worker's steps. While it measures,
/progress reports how far it is.
"""

import argparse
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dueby_api.errors import Invalid
from dueby_api.packed_profile import pack_profile
from dueby_api.step_config import ProfileConfig
from dueby_api.step_messages import ProfilingProgress, ProfilingResult
from dueby_profiler.machine.machine import one_device, this_machine
from dueby_profiler.measuring.choices import ENGINE_FIELD
from dueby_profiler.presets import QUICK, Preset
from dueby_profiler.profiling import profile_machine
from dueby_profiler.progress_listener import ProgressListener, ProgressUpdate
from dueby_worker.steps.command import load_config, run_to_end
from dueby_worker.telemetry.serve import Page, serve_pages

# Errors name the option of `dueby profile`; in a cluster the same value comes from a field of the job.
_FIELDS = {"--engine": ENGINE_FIELD, "--precision": "spec.model.precision"}
log = logging.getLogger(__name__)


def run_step(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m dueby_profiler", description="Profile this pod's device for a job."
    )
    parser.add_argument("--config", type=Path, required=True, help="the step's configuration, a JSON file")
    path = parser.parse_args(argv).config
    return run_to_end(lambda: profile_device(load_config(ProfileConfig, path)))


def profile_device(config: ProfileConfig, *, preset: Preset = QUICK) -> ProfilingResult:
    """Measure the pod's device; return its packed profile, the step's last words."""
    page = ProgressPage(device_class=config.device_class)
    serve_pages(page.respond, host=config.host, port=config.port)
    machine = one_device(this_machine(), config.device_class, threads=config.threads, gpu=config.gpu)
    listener = ProgressListener(on_progress=page.update, on_message=log.info)
    try:
        (profile,) = profile_machine(
            model=config.model,
            machine=machine,
            preset=preset,
            listener=listener,
            cache_dir=None if config.cache_dir is None else Path(config.cache_dir),
        )
    except Invalid as error:
        raise Invalid(_FIELDS.get(error.field, error.field), error.message) from None
    # The pod's host name is not the node's name; whoever created the pod knows the node and fills it in.
    return ProfilingResult(profile=pack_profile(profile.spec.replace(device=profile.spec.device.replace(node=None))))


@dataclass(kw_only=True)
class ProgressPage:
    """The page /progress: how far the profiler is."""

    device_class: str
    clock: Callable[[], float] = time.monotonic
    doing: str = "starting"
    _end_s: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def update(self, progress: ProgressUpdate) -> None:
        """Show this update, and count down from its time left."""
        with self._lock:
            self.doing = progress.doing.removeprefix(f"{self.device_class}: ")
            self._end_s = self.clock() + progress.left_s

    def respond(self, path: str) -> Page:
        if path != "/progress":
            return 404, "text/plain", b"The only page is /progress."
        with self._lock:
            left_s = None if self._end_s is None else max(0, round(self._end_s - self.clock()))
            progress = ProfilingProgress(doing=self.doing, left_seconds=left_s)
        return 200, "application/json", json.dumps(progress.complete_document()).encode()
