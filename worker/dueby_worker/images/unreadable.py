"""The errors of a single image, in a module of their own because every decoder raises them."""

from dueby_api.errors import DueByError


class UnreadableImage(DueByError):
    """The image can't be decoded. The text is one short sentence, which becomes the `error` of its row."""


class BeyondLimit(UnreadableImage):
    """The image is too large for its limits or for the memory that there is. No decoder is to try it."""
