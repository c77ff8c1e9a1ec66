"""How pytest-xdist spreads the tests over its workers."""

from xdist.scheduler import LoadFileScheduling

from support.lanes import work_unit


class WorkUnits(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """By file, whose fixtures are made once so, except that a lane of end-to-end tests has one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return work_unit(nodeid)
