"""The condition Current of GPUProfiles: of nodes and classes, since when, and of what was applied by hand."""

from dueby_api.gpu_profile import GPUProfile, Latency
from dueby_operator.model.writes import Change, Put
from support.drift import CLASS, OWN, drift, jobs, measure, measured_site, with_driver
from support.node_profiles import spec_of
from support.operator import SECOND
from support.profiling import A100


def test_what_was_measured_is_current_and_its_condition_says_with_what() -> None:
    site = measured_site(software={"torch": "2.13.0"})
    current = site.condition(OWN)
    assert (current.type, current.status, current.reason) == ("Current", "True", "Measured")
    assert current.message == "Measured with driver 580.95.05, image dueby/worker:1, torch 2.13.0."
    assert current.observed_generation == 1
    assert site.condition(CLASS).message == "Of 1 node."


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    site = measured_site()
    since = site.condition(OWN).last_transition_time
    site.now_us += 60 * SECOND
    site.generation = 2
    assert [type(write) for write in site.reconcile()] == [Change, Change]
    current = site.condition(OWN)
    assert (current.last_transition_time, current.observed_generation) == (since, 2)
    drift(site, "driver")
    site.reconcile()
    assert site.condition(OWN).last_transition_time > since


def test_a_class_whose_profile_is_made_again_keeps_the_time_of_its_condition() -> None:
    site = measured_site(with_driver("580.95.05", "a"), with_driver("580.95.05", "b"), generation=3)
    step = spec_of(A100).steps[0]
    measure(site, "later", node="b", days=1, steps=(step.replace(latency_micros=Latency(mean=110_000)),))
    since = site.condition(CLASS).last_transition_time
    site.now_us += 60 * SECOND
    site.nodes, site.pods = site.nodes[:1], []
    del site.profiles[f"{CLASS}-b"]  # which goes with its node
    assert [write.document["metadata"]["name"] for write in site.reconcile() if isinstance(write, Put)] == [CLASS]
    found = site.condition(CLASS)
    assert (found.message, found.last_transition_time, found.observed_generation) == ("Of 1 node.", since, 3)


def test_a_class_is_current_if_all_its_nodes_are_and_names_those_that_are_not() -> None:
    names_of = [f"node-{i}" for i in range(8)]
    site = measured_site(*(with_driver("580.95.05", name) for name in names_of))
    assert site.condition(CLASS).message == "Of 8 nodes."
    site.nodes = [with_driver("590.48.01", name) for name in names_of[:7]] + site.nodes[7:]
    site.settle()
    message = site.condition(CLASS).message
    assert message.startswith("Of 8 nodes 7 changed since measured: node-0 (DriverChanged), node-1")
    assert message.endswith("node-4 (DriverChanged) and 2 more. It follows them.")
    assert len(site.batch) == 8 + 7


def by_hand(profile: GPUProfile) -> GPUProfile:
    return profile.replace(metadata=profile.metadata.replace(name="mine", labels=None), status=None)


def test_what_was_applied_by_hand_of_a_node_is_judged_and_left_as_it_is() -> None:
    site = measured_site()
    site.pods.clear()
    site.profiles = {"mine": by_hand(site.profiles[OWN])}
    drift(site, "driver")
    assert jobs(site.reconcile()) == []
    assert site.condition("mine").reason == "DriverChanged"
    assert "It was applied by hand and stands. Apply a new one, or" in site.condition("mine").message


def test_what_was_applied_by_hand_of_a_class_is_not_judged() -> None:
    site = measured_site()
    site.profiles = {OWN: site.profiles[OWN], "mine": by_hand(site.profiles[CLASS])}
    site.settle()
    assert site.profiles["mine"].status is None
