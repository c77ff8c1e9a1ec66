"""What `sink.ifExists` makes of a sink that is in use: to go on with it, to refuse it, or to empty it.

    Resume                                        goes on with the sink's manifest
    Fail                                          Invalid if there is one
    Overwrite, of a sink that this very job has   goes on: its status was lost, or its index step is repeated
      begun or finished
    Overwrite, of rows finished since it exists   goes on if they are of its images and model; else Invalid
    Overwrite, of any other sink                  begins again, when nothing else can go wrong any more: see `empty`
    Append, of rows that aren't finished          goes on with them
    Append, of finished rows                      begins a generation beside them, for what is new
    anything, of a job restored from a backup     as Resume

A backup restores an InferenceJob without its status and with a new uid, so that it looks like one that was never run.
An index step may be stopped for minutes, during which its job is deleted and another one has the sink. So what is to be
overwritten is what the step found, and before it deletes anything it looks whether that is still there.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import inf

from dueby_api.errors import Invalid, Transient
from dueby_api.step_config import IndexConfig
from dueby_api.units import from_micros
from dueby_worker.output.part_names import is_part_name
from dueby_worker.output.quantized import QUANTIZED_FOLDER
from dueby_worker.output.sink_manifest import (
    ADVICE,
    SINK_FIELD,
    SINK_MANIFEST,
    SinkManifest,
    decode_sink_manifest,
    read_newest_data,
)
from dueby_worker.output.success import SUCCESS, Success, is_of, read_success, set_aside
from dueby_worker.storage.generations import delete_later
from dueby_worker.storage.store import Store

# Parts that are deleted at the same time, and those that are given to the threads at once.
_DELETING_THREADS, _AT_ONCE = 16, 4096
# While parts are deleted, the sink is looked at so often.
_LOOK_EVERY_S = 1.0
# Clocks of nodes and of the API server differ, and a job that is created right after another has ended is younger.
_CLOCKS_DIFFER_US = 60_000_000
_NEW_OBJECT = "choose another sink, or delete the InferenceJob and apply it again"
_RESTORED = "choose another sink, or delete the InferenceJob, which was restored from a backup, and apply it again"

log = logging.getLogger(__name__)


class SinkChanged(Transient):
    """Another job, or another process of this one, has begun the sink, or emptied it, since this step looked at it."""


@dataclass(frozen=True, kw_only=True)
class Admission:
    """On what terms a job uses its sink, as the index step found it."""

    store: Store
    newest: int
    """The newest generation that was there, or 1."""
    begun: bytes | None
    """Its manifest, as it stood there; None if there was none."""
    manifest: SinkManifest | None = None
    """The manifest that the job goes on with; None if it begins again, or begins another generation."""
    before: SinkManifest | None = None
    """The manifest of the generation before the one that the job begins; None if it begins none, or the first."""
    success: Success | None = None
    """What `_SUCCESS` says of the generations up to that one."""
    is_own: bool = False
    """Whether this very job began it, under this uid or, before a backup was restored, under another one."""
    advice: str = ADVICE
    """What to do if that is another job's."""

    def require_unchanged(self) -> None:
        """Raise SinkChanged unless the sink has the manifest that was found."""
        if read_newest_data(self.store) != (self.newest, self.begun):
            raise SinkChanged(f"{self.store.uri} was begun or emptied by another job or run while it was looked at")

    @property
    def generation(self) -> int:
        """The generation that the job's rows are of."""
        if self.before:
            return self.newest + 1
        return self.newest if self.manifest else 1

    def begin(self) -> None:
        """Look that the sink is as it was, before the index of what the job begins is put into it."""
        self.require_unchanged()
        if self.success:
            set_aside(self.store, self.success)

    def empty(self) -> None:
        """Delete the quantized networks and all rows, and then the manifest.

        It can be killed at any point, because of its order: `_SUCCESS` is deleted first, since it stops being true, and
        the manifest last, since no other job takes the remaining parts for its own while the manifest is there. In a
        sink that no worker has begun, networks stay: a step that quantized and was killed is repeated without that.
        """
        self.require_unchanged()
        self.store.delete(SUCCESS)
        if self.newest > 1:
            # Before any part: whoever goes on with a later generation believes that those before it are whole.
            delete_later(self.store, "_dueby", "_dueby/index")
            _, first = read_newest_data(self.store)
            replace(self, newest=1, begun=first).empty()
            self._delete_late_success(self.begun or b"")
            return
        names = self.store.read_names(lambda listed: list(filter(is_part_name, listed)))
        # A part is younger than its manifest, so what was listed before this look is of the manifest that was found.
        self.require_unchanged()
        if names or self.begun is not None:
            for name in self.store.list_names(QUANTIZED_FOLDER):
                self.store.delete(f"{QUANTIZED_FOLDER}/{name}")
        look = RecentLook(self.require_unchanged, good_for_s=_LOOK_EVERY_S)

        def delete(name: str) -> None:
            look.require()
            self.store.delete(name)

        with ThreadPoolExecutor(_DELETING_THREADS) as threads:
            # A pool takes all that it is given at once, and there may be millions of parts.
            for start in range(0, len(names), _AT_ONCE):
                list(threads.map(delete, names[start : start + _AT_ONCE]))
        if self.begun is not None:
            self.require_unchanged()
            self.store.delete(SINK_MANIFEST)
            self._delete_late_success(self.begun)

    def _delete_late_success(self, begun: bytes) -> None:
        """Delete the `_SUCCESS` that the old job's finish step wrote meanwhile, still seeing its own manifest."""
        try:
            manifest = decode_sink_manifest(begun, sink=self.store.uri)
        except Invalid:  # nobody finishes such a sink
            return
        success = read_success(self.store)
        if success is not None and is_of(success, manifest):
            self.store.delete(SUCCESS)


def admit(store: Store, config: IndexConfig) -> Admission:
    """Return on what terms the job may use the sink. Raise Invalid if it may not. Nothing is deleted yet."""
    (newest, begun), policy = read_newest_data(store), config.sink.if_exists
    if begun is None:
        return Admission(store=store, newest=newest, begun=None)
    if policy == "Overwrite" and not config.is_restored:
        kept = _never_emptied(store, begun, config)
        is_own = kept is not None and _is_own(kept, config)
        return Admission(store=store, newest=newest, begun=begun, manifest=kept, is_own=is_own, advice=_NEW_OBJECT)
    manifest = decode_sink_manifest(begun, sink=store.uri)
    is_own = config.is_restored or _is_own(manifest, config)
    if policy == "Fail" and not is_own:
        raise Invalid(
            SINK_FIELD,
            f"{store.uri} is in use by job {manifest.job}, and sink.ifExists is Fail; choose another sink, "
            "or set sink.ifExists to Resume or Overwrite",
        )
    advice = _RESTORED if config.is_restored else ADVICE
    admission = Admission(store=store, newest=newest, begun=begun, manifest=manifest, is_own=is_own, advice=advice)
    success = read_success(store) if policy == "Append" and not is_own else None
    if success is None or not is_of(success, manifest):
        return admission
    return replace(admission, manifest=None, before=manifest, success=success)


def _is_own(manifest: SinkManifest, config: IndexConfig) -> bool:
    return config.uid is not None and manifest.uid == config.uid


def _never_emptied(store: Store, begun: bytes, config: IndexConfig) -> SinkManifest | None:
    """Return the manifest of a sink that this job doesn't empty, although it is to overwrite; None if it does."""
    try:
        manifest = decode_sink_manifest(begun, sink=store.uri)
    except Invalid as error:
        log.warning("%s is overwritten: %s", store.uri, error)
        return None
    if _is_own(manifest, config):
        log.warning("%s is not emptied: this very job has begun it, and goes on with it", store.uri)
        return manifest
    success = read_success(store)
    if config.created_unix_micros is None or success is None or not is_of(success, manifest):
        return None
    if config.uid in success.uids:
        log.warning("%s is not emptied: this very job has finished it, and goes on with it", store.uri)
        return manifest
    if success.finished_unix_micros <= config.created_unix_micros + _CLOCKS_DIFFER_US:
        return None
    finished = from_micros(success.finished_unix_micros).isoformat(timespec="seconds")
    log.warning("%s is not emptied: its rows were finished at %s, after this job was created", store.uri, finished)
    return manifest


class RecentLook:
    """A look that is good for some seconds. Threads may share it: that two look at once does no harm."""

    def __init__(
        self, look: Callable[[], None], *, good_for_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`look` raises if things are not as they were."""
        self._look = look
        self._good_for_s = good_for_s
        self._clock = clock
        self._looked_s = -inf

    def require(self, *, now: bool = False) -> None:
        """Look unless the last look is good still, or in any case if it is to be `now`. Raise what the look raises."""
        # The time before the look, during which the process may be stopped, too.
        at_s = self._clock()
        if now or at_s - self._looked_s > self._good_for_s:
            self._look()
            self._looked_s = at_s
