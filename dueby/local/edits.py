"""Edits of the manifest while the job runs: changes that are allowed are taken, others are refused with a sentence."""

import os
import stat
from collections.abc import Callable

from dueby.inputs.manifests import read_job
from dueby_api.errors import Invalid
from dueby_api.inference_job import InferenceJob

# Once indexed, these decide the rows; another sink or name would be another job.
FIXED = ("images", "model", "output", "source", "sink")


class ManifestWatch:
    """Tells of each edit once."""

    def __init__(self, path: str, job: InferenceJob, say: Callable[[str], None]) -> None:
        self.path = path
        self.job = job
        self.say = say
        # The job was read before its source was indexed, which may take long: an edit meanwhile counts, too.
        self.seen: tuple[int, int] | None = None

    def edited_job(self) -> InferenceJob | None:
        """Return the edited job; None if nothing has changed, or nothing that may."""
        stamp = self._stamp()
        if stamp == self.seen or stamp is None:
            return None
        self.seen = stamp
        try:
            edited = read_job(self.path, name=self.job.metadata.name)
        except Invalid as error:
            self.say(f"the edit is not taken: {error}")
            return None
        changed = [name for name in FIXED if getattr(edited.spec, name) != getattr(self.job.spec, name)]
        if edited.metadata.name != self.job.metadata.name or changed:
            what = ", ".join(f"spec.{name}" for name in changed) or "metadata.name"
            self.say(f"the edit is not taken: {what} can't change once the job is indexed; start another job for that")
            return None
        if edited.spec == self.job.spec:
            return None
        self.job = edited
        return edited

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self.path)
        except OSError:  # standard input, or a file that an editor is just replacing
            return None
        # What comes from a pipe is there once.
        return (status.st_mtime_ns, status.st_ino) if stat.S_ISREG(status.st_mode) else None
