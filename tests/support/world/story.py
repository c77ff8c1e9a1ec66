"""A process for many worlds, and what DueBy logs in them."""

import gc
import logging

from support.world.scheduler import World


class StoryHandler(logging.Handler):
    """Tells the world what DueBy logs; a bug that it has caught is one of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it."""
        process = World.current.my_process()
        name = process.name if process else "nobody"
        World.current.tell(f"{name}: {record.levelname} {record.getMessage()}")


def prepare() -> None:
    """Make this process ready for many worlds, once."""
    if not gc.isenabled():
        return
    logging.basicConfig(handlers=[StoryHandler()], level=logging.INFO)
    gc.disable()  # what is unwound must be unwound between two worlds
    gc.freeze()  # what is loaded stays
