"""The profiling step of a job: a pod measures the one device that it was given, and its last words are the profile.

It has no credentials, of Kubernetes or of any store, and needs none: whoever made the pod knows the node and reads the
termination message. Exit codes are those of the worker's steps. While it measures, /progress says how far it is.
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
from dueby_api.step_messages import ProfilingResult
from dueby_profiler.machine.machine import one_device, this_machine
from dueby_profiler.presets import QUICK, Effort
from dueby_profiler.profiling import profile_machine
from dueby_profiler.progress_listener import Audience, Progress
from dueby_worker.steps.command import run_to_end
from dueby_worker.steps.config import load_config
from dueby_worker.telemetry.serve import Page, serve_pages

# What `dueby profile` is told by an option comes from the job here.
_FIELDS = {"--engine": "spec.model.engine", "--precision": "spec.model.precision"}
log = logging.getLogger(__name__)


def run_step(argv: Sequence[str]) -> int:
    """Run the step and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dueby_profiler", description="Measure one device for a job.")
    parser.add_argument("--config", type=Path, required=True, help="the step's configuration, a JSON file")
    path = parser.parse_args(argv).config
    return run_to_end(lambda: profile_device(load_config(ProfileConfig, path)))


def profile_device(config: ProfileConfig, *, effort: Effort = QUICK) -> ProfilingResult:
    """The device's profile, packed."""
    window = Window(device_class=config.device_class)
    serve_pages(window.page, host=config.host, port=config.port)
    machine = one_device(this_machine(), config.device_class, threads=config.threads, gpu=config.gpu)
    audience = Audience(progress=window.show, tell=log.info)
    try:
        (profile,) = profile_machine(model=config.model, machine=machine, effort=effort, audience=audience)
    except Invalid as error:
        raise Invalid(_FIELDS.get(error.field, error.field), error.message) from None
    # The node is a fact of the pod's, which whoever made the pod knows better than the pod does.
    return ProfilingResult(profile=pack_profile(profile.spec.replace(device=profile.spec.device.replace(node=None))))


@dataclass(kw_only=True)
class Window:
    """How far the profiler is, for whoever asks."""

    device_class: str
    clock: Callable[[], float] = time.monotonic
    doing: str = "starting"
    _end_s: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def show(self, moment: Progress) -> None:
        """This is being done now."""
        with self._lock:
            self.doing = moment.doing.removeprefix(f"{self.device_class}: ")
            self._end_s = self.clock() + moment.left_s

    def page(self, path: str) -> Page:
        """The page of this path."""
        if path != "/progress":
            return 404, "text/plain", b"there is /progress"
        with self._lock:
            left_s = None if self._end_s is None else max(0, round(self._end_s - self.clock()))
            return 200, "application/json", json.dumps({"doing": self.doing, "leftSeconds": left_s}).encode()
