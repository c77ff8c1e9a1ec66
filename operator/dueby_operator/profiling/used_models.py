"""Which jobs have their models measured on a schedule: so many of each namespace that no tenant fills the night. Pure.

Jobs that are under way come first, the oldest before the others, so that nobody's new jobs push out what is measured
already; then jobs that are complete, the latest first, since whoever runs a job each day has none under way at night. A
job that failed or can't be read has used no model.
"""

from collections import defaultdict
from collections.abc import Iterable

from dueby_api.inference_job import InferenceJob
from dueby_api.subject import ModelSubject, model_subject
from dueby_operator.model.job_snapshot import JobSnapshot

# Of each namespace. A subject takes a minute or so of each node's run, which ends after an hour by default.
MAX_SUBJECTS = 8


def jobs_to_measure_for(open_jobs: Iterable[JobSnapshot], complete: Iterable[JobSnapshot]) -> list[InferenceJob]:
    """Return the jobs whose models are measured on a schedule, of at most eight subjects in each namespace."""
    oldest_first = sorted(open_jobs, key=lambda job: (job.created_us, job.uid))
    latest_first = sorted(complete, key=lambda job: (-job.created_us, job.uid))
    subjects: dict[str, set[ModelSubject]] = defaultdict(set)
    manifests = []
    for job in [*oldest_first, *latest_first]:
        if isinstance(job.manifest, InferenceJob):
            of_namespace, subject = subjects[job.namespace], model_subject(job.manifest.spec.model)
            if subject in of_namespace or len(of_namespace) < MAX_SUBJECTS:
                of_namespace.add(subject)
                manifests.append(job.manifest)
    return manifests
