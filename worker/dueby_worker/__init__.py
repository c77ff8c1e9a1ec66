"""The worker: the index, work and finish steps of a job."""
