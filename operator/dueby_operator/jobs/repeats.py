"""Work that is done again since what came of it is lost: which, how often, and when it is given up. Pure.

What a step or a measurement has found is in its pod's last words, and a pod can go before they are read: its node is
drained, or it is garbage. The same work does no harm a second time. It isn't done for ever, for whatever takes the pods
away may do so each time.
"""

from dueby_operator.jobs import names
from dueby_operator.objects.jobs import BatchJob
from dueby_operator.objects.parse import micros_of, parse_index

MAX_ATTEMPTS = 3
# Jobs are listed and pods are watched, so that a pod's last words may be seen some time after its Job is complete.
LOST_US = 30_000_000
# A Job that is being deleted stays until its pods are gone. On a node that has fallen silent they stay for much longer.
LEAVING_US = 60_000_000


def attempt_of(job: BatchJob) -> int:
    """Return which attempt at its work the Job is, from 1."""
    return parse_index(job.metadata.annotations.get(names.ATTEMPT, "")) or 1


def is_given_up(job: BatchJob) -> bool:
    """Return whether no other attempt is made after this one."""
    return attempt_of(job) >= MAX_ATTEMPTS


def is_long_complete(job: BatchJob, *, now_us: int) -> bool:
    """Return whether the Job ended so long ago that its pod's last words would have been seen if there were any."""
    return job.is_complete and now_us - (job.completed_us or 0) > LOST_US


def is_leaving(job: BatchJob, *, now_us: int) -> bool:
    """Return whether the Job's pods are being ended, and may be waited for."""
    since_us = micros_of(job.metadata.deletion_timestamp)
    return job.metadata.is_deleting and (since_us is None or now_us - since_us <= LEAVING_US)
