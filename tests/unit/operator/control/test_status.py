"""The status says what is declared: each field is written in some case, and each reason is given by some code."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dueby_api.capacity import AnnouncedDevices, NodePool
from dueby_api.conditions import Reason
from dueby_api.gpu_profile import GPUProfile, Latency, Spread
from dueby_api.schema import validate
from dueby_operator.model.job_snapshot import JobSnapshot
from dueby_operator.model.writes import Change
from dueby_operator.profiling.upkeep import profile_columns
from dueby_operator.resources.crds import job_crd
from dueby_planner.model.cost import Price, Tariff
from support.decisions import SETTINGS, a_batch, cluster, indexed, infj, job, look, look_at, started
from support.operator import profile
from support.profiling import L4, gpu_node, nodes
from support.source_tree import PACKAGES

COST = {"decodeMicros": 900, "bandwidthBytesPerSecond": 5e7}
LABELLED = {"labelled": 40, "accuracy": 0.7, "accuracyFp32": 0.75}
SLOW_DECODING = {"decodeMicros": 25_000}
SEEN = {"store": "s3://photos", "requestsPerSecond": 90, "workers": 2, "time": "2023-11-14T22:13:19Z"}
AGREEMENT = {"photos": 64, "sameTop1": 0.9, "maxDifference": 0.2, "weightsDigest": "abc", **LABELLED}
HOUR = {"from": "2023-11-14T22:20:00Z", "to": "2023-11-14T23:20:00Z"}
POOL = {"name": "burst", "class": "cpu-1", "devicesPerNode": 1, "maxNodes": 1, "nodeSelector": {"pool": "burst"}}
ASKING = replace(SETTINGS, node_pools=(validate(NodePool, {**POOL, "timeToProvision": "1m", "spot": True}),))
ANNOUNCING = replace(SETTINGS, capacity=(validate(AnnouncedDevices, {"class": "cpu-1", "count": 8, **HOUR}),))
EMBEDDED = {"photos": 64, "similarity": 0.99, "leastSimilarity": 0.9, "weightsDigest": "abc"}


def declared(crd: dict[str, Any]) -> set[str]:
    """The paths of all fields of the status, as the CRD has them."""
    root = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return set(_declared(root, ""))


def _declared(schema: dict[str, Any], path: str) -> Iterator[str]:
    for name, below in schema.get("properties", {}).items():
        yield f"{path}.{name}"
        yield from _declared(below, f"{path}.{name}")
    if "items" in schema:
        yield from _declared(schema["items"], f"{path}[]")


def written(document: Any, path: str = "") -> Iterator[str]:
    """The paths of all fields of the document that have a value."""
    if isinstance(document, dict):
        for name, value in document.items():
            if value is not None:
                yield f"{path}.{name}"
                yield from written(value, f"{path}.{name}")
    elif isinstance(document, list | tuple):
        for value in document:
            yield from written(value, f"{path}[]")


CHEAPEST: dict[str, Any] = {"objective": "MinCost"}


def on_gpus() -> dict[str, Any]:
    """A node with four GPUs and 16 cores, and the GPUs' profile."""
    found = profile(L4)
    return {
        "profiles": (found.replace(spec=found.spec.replace(engine="cudagraph")),),
        "nodes": nodes(gpu_node("n", L4)),
    }


def uneven() -> GPUProfile:
    """A class whose devices differ a lot, and of which sizes below the largest allowed one were measured."""
    found = profile()
    (step,) = found.spec.steps
    sizes = ((1, 20_000), (8, 70_000), (64, 350_000), (128, 640_000))
    steps = [step.replace(mini_batch_size=size, latency_micros=Latency(mean=mean)) for size, mean in sizes]
    return found.replace(
        spec=found.spec.replace(steps=tuple(steps), max_mini_batch_size=100, spread=Spread(run=0.1, node=0.1))
    )


def asking(begun: JobSnapshot) -> JobSnapshot:
    """The job with workers that wait for nodes of a pool."""
    workers = (replace(each, node="", assignment=replace(each.assignment, pool="burst")) for each in begun.workers)
    return replace(begun, workers=tuple(workers))


def test_every_field_of_a_jobs_status_is_written_in_some_case() -> None:
    begun = started()
    # From a store that gives 250 images a second, 10,000 take 40 s: two devices share it, or it is too slow.
    slow_store = {"uri": "photos", "limits": {"requestsPerSecond": 250}}
    # Too early for the three cores that each GPU's worker has, and not for four.
    too_soon: dict[str, Any] = {"deadline": "20s"}
    # A few seconds too early, the deadline can still be met with less confidence; much later, with fewer devices.
    deadlines = [f"{seconds}s" for seconds in (*range(5, 12), 60)]
    progress = {pod["metadata"]["name"]: a_batch() for pod in begun.pods}
    cases = [
        look(infj(status=indexed(inputCost=COST, agreement=AGREEMENT, partSize=77, partsThere="0-3"))),
        look(infj(status=indexed(miniBatchLimits={"cpu-1": 16}))),
        look(infj(status=indexed(agreement=EMBEDDED))),
        *(look(infj(status=indexed(), source=slow_store, deadline=deadline)) for deadline in ("60s", "30s")),
        look(infj(status=indexed(), deadline="5s")),
        *(look(infj(status=indexed(inputCost=SLOW_DECODING), **more), **on_gpus()) for more in ({}, too_soon)),
        look(infj(status=indexed(observedStore=SEEN))),
        look(infj(status=indexed(), deadline="3h", deadlineClass="Hard"), nodes={}, settings=ANNOUNCING),
        look(asking(begun.job())),
        look(begun.job(progress=progress)),
        look(begun.job(document=infj(status=begun.document["status"], gpus={"max": 1}), progress=progress)),
        *(
            look(infj(status=indexed(), deadline=deadline, interpolate=True), profiles=(uneven(),))
            for deadline in deadlines
        ),
    ]
    one, other = (infj(status=indexed(), metadata={"name": name, "uid": f"u-{name}"}) for name in ("one", "other"))
    hard = {"deadlineClass": "Hard", "images": 10_000}
    cases += look_at(
        cluster(
            job({**one, "spec": {**one["spec"], **hard, "deadline": "12s"}}),
            job({**other, "spec": {**other["spec"], **hard, "deadline": "30s", "gpus": {"max": 8}}}),
        )
    )
    # One device can be asked for, which is spot, and the second job has it after the first.
    later = {"deadline": "30m", "deadlineClass": "Hard", "images": 10_000, "gpus": {"spot": "Only"}}
    cases += look_at(
        cluster(*(job({**each, "spec": {**each["spec"], **later}}) for each in (one, other)), nodes={}, settings=ASKING)
    )
    dear = Tariff(currency="EUR", prices={"cpu-1": Price(hourly=10**9)})
    cases += [look(infj(status=indexed(), **by_cost), tariff=dear) for by_cost in ({"maxCost": "0 EUR"}, CHEAPEST)]
    # A price, and none of the class that its workers have; then they are gone.
    for prices in ({"cpu-1": Price(hourly=1)}, {}):
        tariff = Tariff(currency="EUR", prices=prices)
        paying = look(begun.job(progress=progress), tariff=tariff)
        paid = replace(begun.job(), status=paying.status, workers=())
        cases += [look(infj(status=indexed()), tariff=tariff), paying, look(paid, tariff=tariff)]
    found = {path for case in cases for path in written(case.status.document())}
    assert declared(job_crd()) - found == set()


def test_every_field_of_a_profiles_status_is_written_in_some_case() -> None:
    (write,) = profile_columns([profile()], [])
    assert isinstance(write, Change)
    found = set(written(write.fields["status"]))
    assert found


def test_every_reason_is_given_by_some_code() -> None:
    folders = (PACKAGES["dueby_operator"], PACKAGES["dueby_planner"])
    source = "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    assert [reason.name for reason in Reason if f"Reason.{reason.name}" not in source] == []


def test_no_two_reasons_of_a_condition_are_the_same_word_with_the_same_status() -> None:
    keys = [(reason.type, reason.status, reason.word) for reason in Reason]
    assert len(keys) == len(set(keys))
