"""The columns of `kubectl get infj` and `kubectl get gprof`. Those with priority 1 are shown by `-o wide` only.

A job's others fit into 100 columns of a terminal with a name of 25 letters. So there is room for one time: when it
ends, beside how long that is before the deadline.
"""

Column = tuple[str, str, str, int]
"""Title, type, JSON path and priority."""

JOB_COLUMNS: tuple[Column, ...] = (
    ("Phase", "string", ".status.phase", 0),
    ("GPUs", "integer", ".status.gpus", 0),
    ("Images", "string", ".status.progress.images", 0),
    ("Ends", "string", ".status.ends", 0),
    ("Slack", "string", ".status.progress.slack", 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Starts", "string", ".status.starts", 1),
    ("Deadline", "string", ".status.deadlineTime", 1),
    ("Class", "string", ".spec.deadlineClass", 1),
    ("Model", "string", ".spec.model.name", 1),
    ("Images/s", "integer", ".status.progress.imagesPerSecond", 1),
    ("Failed", "integer", ".status.progress.imagesFailed", 1),
    ("Message", "string", ".status.message", 1),
)
PROFILE_COLUMNS: tuple[Column, ...] = (
    ("Class", "string", ".spec.deviceClass", 0),
    ("Model", "string", ".spec.model.name", 0),
    ("Size", "integer", ".spec.model.imageSize", 0),
    ("Precision", "string", ".spec.model.precision", 0),
    ("Engine", "string", ".spec.engine", 0),
    ("Images/s", "integer", ".status.imagesPerSecond", 0),
    ("Node", "string", ".spec.device.node", 0),
    ("Current", "string", ".status.conditions[?(@.type=='Current')].status", 0),
    ("Measured", "date", ".spec.measuredAt", 0),
    ("Reason", "string", ".status.conditions[?(@.type=='Current')].reason", 1),
)
