"""The error of one image."""

from dueby.planner.errors import DueByError


class UnreadableImage(DueByError):
    """The image can't be read; the text is its row's `error`, one short sentence."""
