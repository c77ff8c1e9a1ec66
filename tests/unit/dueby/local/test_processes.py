"""What the workers of this machine are started with."""

from dueby.local.processes import own_variables
from support.planner import job


def test_a_variable_of_a_cluster_s_object_is_left_to_the_users_own_environment() -> None:
    variables = [
        {"name": "A", "value": "1"},
        {"name": "EMPTY"},
        {"name": "NULL", "value": None},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    assert own_variables(job(worker={"env": variables})) == {"A": "1", "EMPTY": "", "NULL": ""}
