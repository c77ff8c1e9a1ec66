"""The error of one image."""

from dueby_api.errors import DueByError


class UnreadableImage(DueByError):
    """The image can't be read; the text is its row's `error`, one short sentence."""
