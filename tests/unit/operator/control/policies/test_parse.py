"""Parse: is what the job asks for valid, and until when is it asked for?"""

from dueby_api.units import format_time
from support.decisions import MADE, NOW, SECOND, indexed, infj, look


def test_what_is_not_built_yet_is_refused_not_approximated() -> None:
    found = look(infj(objective="MinCost"))
    assert found.said("Failed") == ("True", "InvalidJob")
    assert "spec.objective: must be one of MinGPUs" in found.message("Failed")
    assert found.status.phase == "Failed"
    assert not found.writes


def test_the_time_of_acceptance_and_the_deadline_are_recorded() -> None:
    status = look(infj(deadline="90s", status=indexed())).status
    assert status.accepted_time == MADE
    assert status.deadline_time == format_time(NOW + 90 * SECOND)
    assert status.observed_generation == 1
