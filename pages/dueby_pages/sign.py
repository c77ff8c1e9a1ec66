"""A verdict's colour and icon at the top of a page."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sign:
    """How a verdict looks."""

    name: str
    tone: str
    """Class of the style sheet that gives the colour."""
    icon: str
    """Path in a box of 16."""
