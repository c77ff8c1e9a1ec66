"""ImageNet's classes."""

from pathlib import Path

# One a line, in the words of torchvision. A test holds them equal.
_LABELS = Path(__file__).with_name("imagenet_labels.txt")


def imagenet_labels() -> tuple[str, ...]:
    """Return ImageNet's 1,000 labels, in the order of every network that was trained for them."""
    return tuple(_LABELS.read_text(encoding="utf-8").splitlines())
