"""The decision over all jobs: a pure function from a snapshot to what to write, say and remember."""
