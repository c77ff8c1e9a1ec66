"""The error of a single image, in a module of its own because every decoder raises it."""

from dueby_api.errors import DueByError


class UnreadableImage(DueByError):
    """The image can't be decoded. The text is one short sentence, which becomes the `error` of its row."""
