"""The engines, by the same question that a worker asks before it builds one."""

import sys
from collections.abc import Iterator

from dueby.doctor.finding import Asked, Finding
from dueby_api.engines import ENGINES, EngineEntry
from dueby_api.errors import first_line


def check_engines(_: Asked) -> Iterator[Finding]:
    """Yield for each engine at which precisions it runs here; nothing where PyTorch, of which all are made, is not."""
    if "torch" in sys.modules:  # the check before has loaded it if it could
        for entry in ENGINES.values():
            yield _finding(entry)


def _finding(entry: EngineEntry) -> Finding:
    subject = f"engine {entry.name}"
    try:
        from dueby_worker.engines.build import engine_module

        module = engine_module(entry.name)
        obstacles = {precision: module.find_obstacle(precision) for precision in entry.precisions}
    except (ImportError, OSError) as error:
        return Finding(subject=subject, verdict="absent", sentence=f"it can't be loaded: {first_line(error)}")
    if works := [precision for precision, obstacle in obstacles.items() if obstacle is None]:
        return Finding(subject=subject, verdict="ok", sentence=f"runs at {', '.join(works)}")
    sentence, _, advice = next(obstacle for obstacle in obstacles.values() if obstacle).partition("; ")
    return Finding(subject=subject, verdict="absent", sentence=sentence, advice=advice)
