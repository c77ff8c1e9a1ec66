"""Objects as the API server stores them: text."""

import json
from collections.abc import Mapping
from typing import Any

from dueby_api.schema import Raw
from dueby_operator.kube.read_job import read_job, turn_away
from dueby_operator.model.job_snapshot import JobMemory, JobSnapshot
from dueby_operator.objects.parse import parse
from dueby_operator.objects.stored_jobs import StoredJob
from support.operator import NOW

Document = dict[str, Any]


def raw(document: object) -> Raw:
    """The document as text."""
    return Raw(json.dumps(document).encode())


def snapshot(document: Document, memories: Mapping[str, JobMemory] | None = None) -> JobSnapshot:
    """The InferenceJob as the operator reads it."""
    return read_job(parse(StoredJob, raw(document)), memories or {}, now_us=NOW)


def read_stored(job: StoredJob) -> JobSnapshot:
    """An InferenceJob that is read."""
    return read_job(job, {}, now_us=NOW)


def read_waiting(job: StoredJob) -> JobSnapshot | None:
    """An InferenceJob that waits to be read, or to be deleted."""
    return turn_away(job, {}, now_us=NOW, time_to_live_us=None)
