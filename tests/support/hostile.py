"""What a tenant can put before the operator: manifests that the CRD accepts, and pods and workers that say anything."""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from dueby_api.schema import Spec, json_schemas
from dueby_api.step_messages import (
    FinishResult,
    IndexResult,
    ProfilingResult,
    SinkParts,
    StepError,
    WorkerProgress,
    WorkResult,
)
from dueby_operator.jobs import names
from dueby_operator.resources.crds import job_crd
from support.decisions import MADE, infj
from support.schema_values import messages_of, moments, odd_texts, plain, texts, values_of

Document = dict[str, Any]
SCHEMA: Document = job_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
NESTED = [b"[" * 100_000, b'{"a":' * 4000, b'{"runs": ' + b"[" * 4000]
BOMBS = [
    b"",
    b"null",
    b"\xff\xfe",
    b'{"batches": NaN}',
    b'{"batches": Infinity}',
    b'{"imagesDone": 1e400}',
    b'{"imagesDone": 99999999999999999999999}',
    b'{"worker": "\\ud800"}',
    b'{"images": 5}',
    b'{"rows": 1, "errors": -1}',
    b'{"runs": [[0, 1000000000000]]}',
    *NESTED,
]


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One tenant's jobs, and what their pods and workers do."""

    jobs: list[Document]
    pods: list[Document]
    """What is laid over the pods, each in turn."""
    said: list[bytes]
    """Last words and answers, each in turn."""
    job_statuses: list[Document]
    """Of Jobs, each in turn."""


def accepted(spec: Document) -> Document:
    """Return the spec as the CRD's rules want it: one of what excludes each other, and what is needed."""
    spec = dict(spec)
    if "deadline" in spec and "deadlineTime" in spec:
        del spec["deadline"]
    if "deadline" not in spec and "deadlineTime" not in spec:
        spec["deadline"] = "60s"
    source = spec["source"]
    kept = next((name for name in ("synthetic", "manifest", "uri") if name in source), None)
    spec["source"] = {kept: source[kept]} if kept else {"synthetic": {}}
    if "synthetic" in spec["source"]:
        spec.setdefault("images", 10**12)
    if spec["sink"]["uri"].lower().startswith(("http://", "https://")):
        spec["sink"] = {"uri": "rows"}
    if (model := spec.get("model", {})).get("engine") == "onnxruntime":
        spec["model"] = {**model, "engine": "auto"}
    failed = spec.get("maxFailedImages", 0)
    if not isinstance(failed, int) or failed < 0:
        spec["maxFailedImages"] = "0.5%"
    return {name: value for name, value in spec.items() if name != "ttlAfterFinished" or value.strip("0hmsu.")}


def _job(index: int, spec: Document, usual: frozenset[str]) -> Document:
    """Return a job with fields of this spec, but the usual ones of these names."""
    made = infj(metadata={"name": f"hostile-{index}", "namespace": "tenant", "uid": f"uid-of-hostile-{index}"})
    kept = {name: value for name, value in {**made["spec"], **USUAL}.items() if name in usual}
    return {**made, "spec": accepted({**{n: v for n, v in spec.items() if n not in usual}, **kept})}


USUAL = {"images": 10_000, "source": {"synthetic": {}}, "sink": {"uri": "s3://rows/out"}}
_FIELDS = sorted(SCHEMA["properties"]["spec"]["properties"])
# Most fields of a job are as usual, so that it gets as far as its workers.
_usual = st.sets(st.sampled_from(_FIELDS), max_size=3).map(lambda odd: frozenset(_FIELDS) - odd)
jobs = st.lists(st.tuples(values_of(SCHEMA["properties"]["spec"]), _usual), min_size=1, max_size=2).map(
    lambda found: [_job(index, spec, usual) for index, (spec, usual) in enumerate(found)]
)


def _like(kind: type[Spec]) -> st.SearchStrategy[bytes]:
    """Return one of a step's messages: with extreme values, or with wrong ones."""
    fields = sorted(json_schemas(kind)[kind.__name__]["properties"])
    made = st.tuples(messages_of(kind), st.dictionaries(st.sampled_from(fields), plain, max_size=2))
    return made.map(lambda found: json.dumps({**found[0], **found[1]}).encode(errors="surrogatepass"))


_anything = plain.map(json.dumps).map(str.encode)
_KINDS: tuple[type[Spec], ...] = (
    WorkerProgress,
    WorkResult,
    SinkParts,
    IndexResult,
    FinishResult,
    ProfilingResult,
    StepError,
)
said = st.one_of(st.sampled_from(BOMBS), _anything, *map(_like, _KINDS))
_endings = st.fixed_dictionaries(
    {}, optional={"exitCode": st.integers(0, 255), "reason": texts, "startedAt": moments, "finishedAt": moments}
)
_states = st.one_of(
    st.just({"running": {"startedAt": MADE}}),
    _endings.map(lambda ending: {"terminated": ending}),
    texts.map(lambda reason: {"waiting": {"reason": reason, "message": reason}}),
)
pods = st.fixed_dictionaries(
    {
        "phase": st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
        "podIP": st.sampled_from(["10.0.0.1", "", "::1", "169.254.169.254"]),
        "state": _states,
        "labels": st.dictionaries(
            st.sampled_from([names.INDEX_OF_POD, names.JOB_OF_POD, names.STEP, names.REVISION]),
            odd_texts | texts,
            max_size=2,
        ),
        "conditions": st.lists(
            st.fixed_dictionaries({"type": st.just("PodScheduled"), "status": st.just("False"), "message": texts}),
            max_size=1,
        ),
    }
)
_ends = st.sampled_from(["Complete", "Failed", "Suspended"]).map(lambda kind: [{"type": kind, "status": "True"}])
_indices = odd_texts | st.sampled_from(["0", "0-3", "5-1", "0-99999999999", "1,,2", "-"])
job_statuses = st.fixed_dictionaries(
    {},
    optional={
        "conditions": _ends,
        "completedIndexes": _indices,
        "failedIndexes": _indices,
        "startTime": moments,
        "completionTime": moments,
    },
)
tenants = st.builds(
    Hostile,
    job_statuses=st.lists(job_statuses, min_size=1, max_size=3),
    jobs=jobs,
    pods=st.lists(pods, min_size=1, max_size=3),
    said=st.lists(said, min_size=1, max_size=4),
)


def lay_over(pod: Document, hostile: Document, words: bytes) -> None:
    """Make the pod what a tenant has made of it."""
    pod["metadata"]["labels"] |= hostile["labels"]
    state = dict(hostile["state"])
    if "terminated" in state:
        state["terminated"] = {**state["terminated"], "message": words.decode(errors="replace")}
    pod["status"] |= {
        "phase": hostile["phase"],
        "podIP": hostile["podIP"],
        "conditions": hostile["conditions"],
        "containerStatuses": [{"name": "dueby", "state": state}],
    }
