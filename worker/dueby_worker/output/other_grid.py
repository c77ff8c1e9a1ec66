"""A sink that was begun with other parts than a worker was told: the same job goes on with the sink's.

It is a file of its own because a step's last words are made of it, and a step that reports an error loads nothing else.
"""

from dueby_api.errors import Invalid
from dueby_api.parts import Parts


class OtherGrid(Invalid):
    """The sink holds rows of this very job, in parts of another size. Whoever plans can go on with those."""

    def __init__(self, message: str, *, part_size: int, parts_there: Parts) -> None:
        super().__init__("partSize", message)
        self.part_size = part_size
        self.parts_there = parts_there
