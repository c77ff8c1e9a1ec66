"""How many mini-batches a worker may run: M + 1 of the study, with M the job's `gpus.maxIterations`.

A worker does its own share whatever its size: the plan made it fit, and a share of whole parts may need one mini-batch
more. What the budget limits is help for others. A part is taken from another worker only if all its mini-batches fit,
because a part that is begun must be finished.

Counting is done where images are handed out, ahead of the model. A stretch is filled into mini-batches without gaps and
only its last one is padded, so its images and the mini-batch size say how many mini-batches it needs. Some of them are
never run, because another worker has finished their parts in the meantime. The loop gives those back.
"""

from dataclasses import dataclass


@dataclass(kw_only=True)
class BatchBudget:
    """The mini-batches that one worker may run.

    `add_image`, `end_stretch` and `fits` are for the thread that hands out images, `give_back` for the model's thread.
    """

    mini_batch_size: int
    limit: int | None
    """The most mini-batches in all, M + 1; None: no limit."""
    _ended: int = 0
    """Mini-batches of the stretches that are over."""
    _images: int = 0
    """Images of the current stretch that were handed out."""
    _unused: int = 0
    """Mini-batches that were given back."""

    def add_image(self) -> None:
        """Count an image that is handed out."""
        self._images += 1

    def end_stretch(self) -> None:
        """Note that what follows begins a new mini-batch."""
        self._ended += self._batches(self._images)
        self._images = 0

    def give_back(self) -> None:
        """Note that a mini-batch need not be run."""
        self._unused += 1

    def fits(self, images: int) -> bool:
        """Return whether so many more images fit in the current stretch."""
        if self.limit is None:
            return True
        return self._ended + self._batches(self._images + images) - self._unused <= self.limit

    def _batches(self, images: int) -> int:
        return -(-images // self.mini_batch_size)
