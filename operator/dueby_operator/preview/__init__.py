"""What the operator would do with jobs that aren't there yet, for whoever may read what it reads.

    reading.py      the operator's client, over a user's way to the cluster; notes what may not be read
    settings.py     the operator's own settings, as its Deployment has them
    snapshot.py     what the operator would gather
    running.py      workers as statuses and pods tell of them, since nobody but the operator asks them
    preview.py      the operator's decision, once the jobs are in the snapshot
    answer.py       what was decided about the jobs, as a document

Nothing is written.
"""
