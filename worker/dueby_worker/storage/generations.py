"""The names of what a sink has once for each of its generations: `job.json`, then `job.g0002.json` and so on.

A generation is what one job has added to a sink (`sink.ifExists: Append`). The first one has plain names, so that every
sink is one of a single generation until something is added.
"""

import re

from dueby_worker.storage.store import Store

_LATER = re.compile(r".+\.g\d{4,}\.\w+")


def path_in(generation: int, path: str) -> str:
    """Return the path that this file has in a generation; `path` is that in the first one."""
    stem, dot, ending = path.rpartition(".")
    return path if generation == 1 else f"{stem}.g{generation:04d}{dot}{ending}"


def newest_generation(store: Store, path: str) -> int:
    """Return the newest generation that has this file; 0 if none has."""
    folder, _, name = path.rpartition("/")
    stem, _, ending = name.rpartition(".")
    numbered = re.compile(rf"{re.escape(stem)}(?:\.g(\d{{4,}}))?\.{re.escape(ending)}")
    found = (numbered.fullmatch(name) for name in store.list_names(folder))
    return max((int(match[1] or 1) for match in found if match), default=0)


def delete_later(store: Store, *folders: str) -> None:
    """Delete, in these folders, the files of all generations but the first, the newest ones first."""
    for folder in folders:
        for name in sorted(store.list_names(folder), reverse=True):
            if _LATER.fullmatch(name):
                store.delete(f"{folder}/{name}")
