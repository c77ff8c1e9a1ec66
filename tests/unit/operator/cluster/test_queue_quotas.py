"""The quotas of queues as limits of the calendar: what they have, and what each job's workers cost of them."""

from collections.abc import Mapping

from dueby_api.inference_job import JobSpec
from dueby_api.schema import validate
from dueby_operator.cluster.nodes import DeviceKind
from dueby_operator.cluster.queue_quotas import find_queue_limits
from dueby_operator.cluster.queues import Flavor, Queue
from dueby_planner.schedule.devices import Limit
from dueby_planner.schedule.job import Claimant
from support.decisions import infj

GPU, LABEL = "nvidia.com/gpu", "nvidia.com/gpu.product"
KINDS = {name: DeviceKind(resource=GPU, selector={LABEL: name}) for name in ("a100", "l4")}


def claimant(name: str, *classes: str, queue: str = "night") -> Claimant:
    spec = validate(JobSpec, infj(queueName=queue)["spec"] if queue else infj()["spec"])
    return Claimant(key=("team", name), spec=spec, classes=classes)


def asked(spec: JobSpec, device_class: str) -> Mapping[str, float]:
    """Two cores, and a GPU; of slices, one core and a half."""
    return {"cpu": 2.0, GPU: 1.0} if device_class in KINDS else {"cpu": 1.5}


def flavor(name: str = "any", labels: Mapping[str, str] | None = None, *, used: float = 0, **quota: float) -> Flavor:
    named = {resource.replace("gpu", GPU): value for resource, value in quota.items()}
    return Flavor(name=name, node_labels=labels or {}, quota=named, used=dict.fromkeys(named, used))


def find(queues: Mapping[str, Queue], *claimants: Claimant) -> dict[str, Limit]:
    named = {("team", name): queue for name, queue in queues.items()}
    return {quota.name: quota for quota in find_queue_limits(named, claimants, KINDS, asked)}


def test_a_quota_binds_the_jobs_of_its_queues_and_costs_what_their_workers_ask_for() -> None:
    queue = Queue(name="all", groups=((flavor(cpu=9, used=2.5),),))
    found = find(
        {"night": queue, "day": queue, "other": Queue(name="other", groups=queue.groups)},
        claimant("one", "cpu-1", "l4"),
        claimant("two", "l4", queue="day"),
        claimant("else", "l4", queue="other"),
        claimant("free", "l4", queue=""),
        claimant("gone", "l4", queue="gone"),
    )
    assert found["cpu of ClusterQueue all (any)"] == Limit(
        name="cpu of ClusterQueue all (any)",
        units=9000,
        used=2500,
        costs={("team", "one"): {"cpu-1": 1500, "l4": 2000}, ("team", "two"): {"l4": 2000}},
    )
    assert set(found) == {"cpu of ClusterQueue all (any)", "cpu of ClusterQueue other (any)"}


def test_a_class_is_bound_by_the_flavors_that_it_may_get() -> None:
    flavors = (flavor("a", {LABEL: "a100"}, gpu=2), flavor("b", {LABEL: "l4"}, gpu=3), flavor("c", {}, gpu=4, used=1))
    found = find({"night": Queue(name="all", groups=(flavors,))}, claimant("one", "a100", "l4"))
    sizes = {name: (quota.units, quota.used, quota.costs["team", "one"]) for name, quota in found.items()}
    assert sizes == {
        f"{GPU} of ClusterQueue all (a, c)": (6000, 1000, {"a100": 1000}),
        f"{GPU} of ClusterQueue all (b, c)": (7000, 1000, {"l4": 1000}),
    }


def test_who_may_get_some_of_the_flavors_only_counts_where_all_of_them_are_counted() -> None:
    flavors = (flavor("a", {LABEL: "a100"}, cpu=10), flavor("c", {}, cpu=20))
    found = find({"night": Queue(name="all", groups=(flavors,))}, claimant("gpu", "l4"), claimant("slice", "cpu-1"))
    assert found["cpu of ClusterQueue all (c)"].costs == {("team", "gpu"): {"l4": 2000}}
    both = {("team", "slice"): {"cpu-1": 1500}, ("team", "gpu"): {"l4": 2000}}
    assert (found["cpu of ClusterQueue all (a, c)"].units, found["cpu of ClusterQueue all (a, c)"].costs) == (
        30_000,
        both,
    )


def test_a_cohort_is_a_quota_of_all_its_queues() -> None:
    def of(name: str, cores: float) -> Queue:
        mine = Flavor(
            name="any", node_labels={}, quota={"cpu": cores}, used={}, shared={"cpu": 12.0}, shared_used={"cpu": 3.0}
        )
        return Queue(name=name, cohort="team", groups=((mine,),))

    found = find({"night": of("n", 8), "day": of("d", 10)}, claimant("one", "l4"), claimant("two", "l4", queue="day"))
    shared = found["cpu of cohort team (any)"]
    assert (shared.units, shared.used, set(shared.costs)) == (12_000, 3000, {("team", "one"), ("team", "two")})
    assert {name: quota.units for name, quota in found.items() if quota is not shared} == {
        "cpu of ClusterQueue n (any)": 8000,
        "cpu of ClusterQueue d (any)": 10_000,
    }
