"""The table of conditions and reasons: what a resource's status says, what it means and what to do about it.

A reason is one entry here and its test. The entry says of which condition it is, with which status, what it means and
what a user does about it. docs/conditions.md is made from this table, and the operator writes no other word. Reasons
are fixed words for programs; the message beside one is a sentence for people.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import partial
from typing import Literal

Truth = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """What a condition is about. The order is that of a job's life, and that of docs/conditions.md."""

    INDEXED = "Indexed"
    PROFILED = "Profiled"
    FEASIBLE = "Feasible"
    ADMITTED = "Admitted"
    ON_TRACK = "OnTrack"
    DEADLINE_MET = "DeadlineMet"
    COMPLETE = "Complete"
    FAILED = "Failed"
    CURRENT = "Current"
    """Of a GPUProfile: whether one would measure the same now."""


@dataclass(frozen=True)
class ReasonEntry:
    """One reason of one condition."""

    type: ConditionType
    status: Truth
    word: str
    """As the resource spells it."""
    meaning: str
    action: str = ""
    """What a user does about it; empty where there is nothing to do."""


# What there are many reasons of.
_NOT_INDEXED = partial(ReasonEntry, ConditionType.INDEXED, "False")
_NOT_FEASIBLE = partial(ReasonEntry, ConditionType.FEASIBLE, "False")
_NOT_PROFILED = partial(ReasonEntry, ConditionType.PROFILED, "False")
_NOT_ADMITTED = partial(ReasonEntry, ConditionType.ADMITTED, "False")
_OFF_TRACK = partial(ReasonEntry, ConditionType.ON_TRACK, "False")
_NOT_MET = partial(ReasonEntry, ConditionType.DEADLINE_MET, "False")
_FAILED = partial(ReasonEntry, ConditionType.FAILED, "True")
_OUTDATED = partial(ReasonEntry, ConditionType.CURRENT, "False")
_NO_FEWER_WAYS = "take one of the ways that the message names"
_EDIT = f"{_NO_FEWER_WAYS}: once it is edited, the job is tried again within a minute"
_MEASURED_AGAIN = "nothing: it is measured again; the message says by which Job, when, or why not"


class Reason(Enum):
    """Every reason. Its value is its entry, so that naming a reason settles the condition and its status, too."""

    INDEXED = ReasonEntry(
        ConditionType.INDEXED,
        "True",
        "Indexed",
        "The source is listed and frozen; N is known. At int8, the message says how far the results are from fp32's.",
    )
    INDEXING = _NOT_INDEXED(
        "Indexing",
        "The index Job is at work. The message says which store it waits for, or why its pod can't start.",
        "wait, or fix what the message says",
    )
    SOURCE_UNREADABLE = _NOT_INDEXED(
        "SourceUnreadable",
        "The source could not be listed, or the model or the sink is wrong.",
        "the message names the field",
    )
    PROFILED = ReasonEntry(
        ConditionType.PROFILED,
        "True",
        "Profiled",
        "There is a GPUProfile for the job's model. A class that could not be measured is left out and named.",
    )
    PREDICTED = ReasonEntry(
        ConditionType.PROFILED,
        "True",
        "Predicted",
        "The model was measured at another image size; the message names the profiles that the job is planned on.",
        "nothing: the job's first steps correct the plan; or measure it, as the message says",
    )
    PROFILING = _NOT_PROFILED(
        "Profiling",
        "There was no profile, so free devices are being measured. The message says how far each class is.",
        "wait about a minute",
    )
    PROFILING_FAILED = _NOT_PROFILED(
        "ProfilingFailed",
        "No class could be measured; the message says why.",
        "fix it and delete the Job that the message names, or run `dueby profile` on such a node and `kubectl apply` "
        "the profile",
    )
    NO_PROFILE = _NOT_PROFILED(
        "NoProfile",
        "There is no profile and nothing to measure: no device is free, or no node has one that the job may use.",
        "wait, add a node, name slices such as `cpu-1` in `spec.gpus.classes`, or measure by hand",
    )
    PROFILES_UNUSABLE = _NOT_PROFILED(
        "ProfilesUnusable",
        "Two profiles describe the same class, or every profile is invalid.",
        "the message names them",
    )
    PLANNED = ReasonEntry(
        ConditionType.FEASIBLE, "True", "Planned", "The plan meets the deadline; the message is the proof."
    )
    RESERVED = ReasonEntry(
        ConditionType.FEASIBLE,
        "True",
        "Reserved",
        "Devices are reserved for a later time; the message says from when, and when the job ends.",
    )
    STARTED_LATE = _NOT_FEASIBLE(
        "Late",
        "It can't be in time. It starts, or is scheduled, on the fewest devices that end little later than all would.",
        f"nothing, or {_NO_FEWER_WAYS}",
    )
    DEADLINE_TOO_EARLY = _NOT_FEASIBLE(
        "DeadlineTooEarly", "The deadline can't be met, and the job's deadline class says not to try.", _NO_FEWER_WAYS
    )
    OVER_COST = _NOT_FEASIBLE(
        "OverMaxCost",
        "Even the cheapest devices that meet the deadline cost more than `spec.maxCost`; the message says how much, "
        "and how far that is proved.",
        _NO_FEWER_WAYS,
    )
    OVER_BUDGET = _NOT_FEASIBLE(
        "OverBudget",
        "The job would use more than is left of its namespace's budget (`budgets` in the chart's values). The message "
        "says what it would use, what is left, and when enough is free.",
        "create it again then, or set a later deadline, lower images, or ask for a larger budget",
    )
    PROMISED_TO_OTHERS = _NOT_FEASIBLE(
        "PromisedToOthers",
        "The deadline can't be met beside what other Hard jobs were promised; the message is the proof.",
        _NO_FEWER_WAYS,
    )
    NOT_PROMISED = _NOT_FEASIBLE(
        "NotPromised", "The chart's `promises` forbid the class, so late an end or so many devices.", _NO_FEWER_WAYS
    )
    WAITING = ReasonEntry(
        ConditionType.FEASIBLE,
        "Unknown",
        "Waiting",
        "There is no device for the job now: other jobs have them or are promised them, no node has room for a worker, "
        "or a ResourceQuota or the namespace's budget has too little left. The message says which, and what is missing "
        "where.",
        "wait; or free some, lower `spec.worker.resources` or the chart's `worker.gpuCpus`, or ask for quota",
    )
    ADMITTED = ReasonEntry(ConditionType.ADMITTED, "True", "Admitted", "The cluster has taken every worker.")
    SUSPENDED = _NOT_ADMITTED(
        "Suspended", "The job has no workers, as `spec.suspend` says.", "set `spec.suspend` to false"
    )
    QUEUED = _NOT_ADMITTED(
        "Queued", "The workers wait for their Kueue queue's quota.", "`kubectl describe workloads` says for what"
    )
    TOO_MANY_JOBS = _NOT_ADMITTED(
        "TooManyJobs",
        "So many jobs of the namespace are planned that no more are at once. The others are taken by their deadlines.",
        "wait until some have ended, or suspend or delete those that need not be done now",
    )
    QUEUE_NOT_FOUND = _NOT_ADMITTED(
        "QueueNotFound", "There is no such LocalQueue, or no Kueue.", "make the queue, or leave `spec.queueName` out"
    )
    SINK_IN_USE = _NOT_ADMITTED(
        "SinkInUse", "Another job of the namespace writes to the same sink.", "wait for it, or name another sink"
    )
    UNSCHEDULABLE = _NOT_ADMITTED(
        "Unschedulable",
        "Workers have been on no node for 30 s, and the rest is planned without them.",
        "the message is the scheduler's",
    )
    PODS_NOT_CREATED = _NOT_ADMITTED(
        "PodsNotCreated",
        "Workers have had no pod for 30 s, and the rest is planned without them.",
        "`kubectl describe job` says why: a quota, a policy",
    )
    FORBIDDEN = _NOT_ADMITTED(
        "Forbidden",
        "The API server has forbidden one of the job's objects, or its pods: a LimitRange, Pod Security, a policy. It "
        "is tried again every 30 s.",
        "the message says what forbids it",
    )
    WEBHOOK_AWAY = _NOT_ADMITTED(
        "WebhookAway",
        "A webhook that has a say in the job's objects doesn't answer the API server, so none can be made. It is tried "
        "again every 5 s.",
        "see why the webhook that the message names is away: it is another program of the cluster, such as Kueue",
    )
    NAME_TAKEN = _NOT_ADMITTED(
        "NameTaken",
        "Somebody else's object has the name of one that the job needs, and is not used. It is tried again every 30 s.",
        "delete or rename the object that the message names, or give the job another name",
    )
    WAITING_FOR_CLEANUP = _NOT_ADMITTED(
        "WaitingForCleanup",
        "Objects of before are still being deleted: of a deleted job of the same name, workers that were told other "
        "parts than their sink turned out to have, or those of a job whose status was lost.",
        "wait for some seconds; if it lasts, `kubectl get` the object that the message names: a finalizer may hold it",
    )
    ASSIGNMENTS_LOST = _NOT_ADMITTED(
        "AssignmentsLost",
        "ConfigMaps that say what workers do are gone. Their Jobs are deleted, and others take over what is left.",
        "find out what deletes ConfigMaps",
    )
    ON_TRACK = ReasonEntry(
        ConditionType.ON_TRACK, "True", "InTime", "The workers will be in time, by what they have reported."
    )
    LAGGING = _OFF_TRACK(
        "Late", "The workers will be late, by what they have reported.", "nothing: help is added where there is any"
    )
    WAITS_FOR_IMAGES = _OFF_TRACK(
        "WaitsForImages",
        "The workers will be late, and wait for images in much of their time: more devices would not help.",
        "read from a faster store, from tars, or from more prefixes; give each worker more cores to decode with",
    )
    HELP_OVER_COST = _OFF_TRACK(
        "HelpOverMaxCost",
        "The workers will be late, and help is left out, since the job would then cost more than `spec.maxCost`.",
        "nothing, or raise `spec.maxCost`, or move the deadline",
    )
    HELP_OVER_BUDGET = _OFF_TRACK(
        "HelpOverBudget",
        "The workers will be late, and help is left out, since the namespace's budget has too little left.",
        "nothing, or ask for a larger budget, or move the deadline",
    )
    DEVICES_HELD = _OFF_TRACK(
        "DevicesHeld",
        "The job waits or will be late, and pods that should have ended hold devices that it may use. Nothing is "
        "promised on those.",
        "see why the pod stays that the message names: its node doesn't answer, a volume can't be unmounted",
    )
    CAPACITY_MISSING = _OFF_TRACK(
        "CapacityMissing",
        "The job waits or will be late, and devices that were announced for now (capacity in the chart's values), or "
        "that a pool was asked for (nodePools), are not there, or a pool can't be asked. Nothing is promised on those.",
        "see why the nodes don't come or can't be asked for; if they come late, or fewer, say so in the chart's values",
    )
    PODS_NOT_STARTING = _OFF_TRACK(
        "PodsNotStarting",
        "Pods don't start: an image can't be pulled, or a secret or a volume is missing.",
        "the message is the kubelet's, or the scheduler's; the pods start once what it names is there",
    )
    OUT_OF_MEMORY = _OFF_TRACK(
        "OutOfMemory",
        "A worker's container was ended since it needed more memory than its limit. It is started again; if that "
        "happens twice in a row, the rest is planned with smaller mini-batches, if the profile has any that may fit.",
        "raise the limit that the message names",
    )
    SINK_NOT_WRITABLE = _OFF_TRACK(
        "SinkNotWritable",
        "Workers have been trying to write to the sink for 10 s or longer: it is full, away, or refuses them.",
        "free space, renew the credentials or fix the store, as the message says; the workers go on by themselves",
    )
    SOURCE_NOT_READABLE = _OFF_TRACK(
        "SourceNotReadable",
        "Workers have been trying to read images for 10 s or longer: their store is away, or refuses them.",
        "fix the store or renew the credentials, as the message says; the workers go on by themselves",
    )
    MET = ReasonEntry(ConditionType.DEADLINE_MET, "True", "InTime", "The job ended by its deadline.")
    MISSED = _NOT_MET(
        "Late",
        "The deadline has passed and images are missing, or the job ended after it.",
        "nothing, or move the deadline while the job runs; the condition then goes",
    )
    STOPPED_AT_DEADLINE = _NOT_MET("Stopped", "The deadline passed, and `spec.onDeadline` is Stop.")
    FINISHING = ReasonEntry(
        ConditionType.COMPLETE,
        "False",
        "Finishing",
        "Every part is there, and the finish Job counts the rows. Where its pod can't start, the message says why.",
        "wait, or fix what the message says",
    )
    EVERY_IMAGE_HAS_A_ROW = ReasonEntry(
        ConditionType.COMPLETE, "True", "EveryImageHasARow", "Every part and `_SUCCESS` are in the sink."
    )
    INDEX_FAILED = _FAILED(
        "IndexFailed", "The index step could not do its work; the message says why.", "fix it and create the job again"
    )
    FINISH_FAILED = _FAILED(
        "FinishFailed", "The finish step could not do its work; the message says why.", "fix it, and create it again"
    )
    INVALID_JOB = _FAILED(
        "InvalidJob", "A field is wrong in a way that only shows in the cluster.", "the message names the field"
    )
    INVALID_TEMPLATE = _FAILED(
        "InvalidTemplate", "The API server refuses the job's pods.", "the message names the field of `spec.worker`"
    )
    INFEASIBLE = _FAILED("Infeasible", "A Hard deadline can't be met, or not for what `spec.maxCost` allows.", _EDIT)
    OPERATOR_RETRYING = ReasonEntry(
        ConditionType.FAILED,
        "False",
        "OperatorRetrying",
        "The operator could not handle the job, and tries again. Its workers go on; other jobs are not concerned.",
        "nothing for a minute; then see the operator's log, and report what the message says",
    )
    OPERATOR_ERROR = _FAILED(
        "OperatorError",
        "The operator could not handle the job, several times in a row. The message and the operator's log say why.",
        "report it with the job's manifest and the traceback in the operator's log; a job that is created again goes "
        "on with the parts that are in its sink",
    )
    NO_PROGRESS = _FAILED(
        "NoProgress",
        "Lost workers were replaced three times in a row, and no part was written in between.",
        "see the logs of the job's pods: the image may crash as it starts, or have too little memory for the model",
    )
    MEMORY_TOO_LITTLE = _FAILED(
        "OutOfMemory",
        "A worker's container needed more memory than its limit twice in a row, and no smaller mini-batch would do.",
        "raise the limit that the message names, and create the job again; it goes on with the parts in its sink",
    )
    TOO_MANY_FAILED_IMAGES = _FAILED(
        "TooManyFailedImages",
        "More rows have an error than `spec.maxFailedImages` allows. All rows are there.",
        "see the column `error` of the results",
    )
    STOPPED = _FAILED(
        "Stopped", "The deadline passed, and `spec.onDeadline` is Stop.", "the parts that were done are kept"
    )
    MEASURED = ReasonEntry(
        ConditionType.CURRENT, "True", "Measured", "One would measure the same now, as far as can be known."
    )
    DRIVER_CHANGED = _OUTDATED(
        "DriverChanged", "GPU feature discovery's label of the node names another driver.", _MEASURED_AGAIN
    )
    IMAGE_CHANGED = _OUTDATED(
        "ImageChanged",
        "The operator's worker image is another, or another build of it is on the node.",
        _MEASURED_AGAIN,
    )
    TORCH_CHANGED = _OUTDATED(
        "TorchChanged",
        "What was measured on the node since, with the operator's image, has another version of torch.",
        _MEASURED_AGAIN,
    )
    STEPS_OFF = _OUTDATED(
        "StepsOff",
        "In three or more jobs since it was measured (200 steps or more) the class's steps were off by more than 10 %.",
        f"{_MEASURED_AGAIN}. Meanwhile plans take the steps as jobs saw them",
    )

    @property
    def type(self) -> ConditionType:
        """The condition that it is a reason of."""
        return self.value.type

    @property
    def status(self) -> Truth:
        """The condition's status with this reason."""
        return self.value.status

    @property
    def word(self) -> str:
        """The reason as the resource spells it."""
        return self.value.word
