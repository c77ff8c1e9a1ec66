"""Pods that have the operator's labels and belong to no Job of its jobs: anybody may put them on a pod of theirs.

Of a pod with these labels more is kept than of another one. A watch may show a pod before the list of Jobs has its Job,
so it is kept for a minute; then it is a pod like any other, until it changes.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from dueby_operator.cluster.nodes import PodRow
from dueby_operator.kube.steady_clock import steady_clock_s
from dueby_operator.objects.pods import Pod

WAIT_S = 60.0


class Strangers:
    """Tells which pods have been strangers for too long."""

    def __init__(self, *, clock_s: Callable[[], float] = steady_clock_s) -> None:
        self._clock_s = clock_s
        self._since_s: dict[str, float] = {}
        """Since when each has been one, by uid."""

    def note(self, rows: Iterable[PodRow], *, owners: Collection[str]) -> dict[str, PodRow | None]:
        """Return what to keep instead of those, by uid; None: nothing. `owners`: uids of what may own a pod of ours."""
        now_s = self._clock_s()
        strange = {row.ours.metadata.uid: row for row in rows if row.ours and not _is_owned(row.ours, owners)}
        self._since_s = {uid: self._since_s.get(uid, now_s) for uid in strange}
        late = (uid for uid, since_s in self._since_s.items() if now_s - since_s >= WAIT_S)
        return {
            uid: replace(strange[uid], ours=None, is_worker=False) if strange[uid].requests else None for uid in late
        }


def without_strangers(rows: Iterable[PodRow], pods: Mapping[str, Sequence[Pod]]) -> list[PodRow]:
    """Return the rows; of those whose labels say that they are workers, the others are no workers than `pods`."""
    owned = {pod.metadata.uid for of_job in pods.values() for pod in of_job}
    return [
        replace(row, is_worker=False) if row.is_worker and row.ours and row.ours.metadata.uid not in owned else row
        for row in rows
    ]


def _is_owned(pod: Pod, owners: Collection[str]) -> bool:
    return any(owner.uid in owners for owner in pod.metadata.owner_references)
