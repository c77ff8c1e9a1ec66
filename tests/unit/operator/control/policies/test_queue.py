"""Queue: is the Kueue queue there that the job is to wait in?"""

from dueby_operator.cluster.queues import Flavor, Queue
from support.decisions import indexed, infj, look

QUOTA = {"cpu": 8.0, "memory": 2.0**36}
NIGHT = Queue(groups=((Flavor(node_labels={}, quota=QUOTA, used={}),),))


def test_a_queue_that_is_not_there_is_waited_for() -> None:
    found = look(infj(queueName="night", status=indexed()))
    assert found.said("Admitted") == ("False", "QueueNotFound")
    assert "LocalQueue night" in found.message("Admitted")
    assert found.status.phase == "Queued"
    assert not found.writes


def test_a_job_is_planned_on_the_quota_of_its_queue() -> None:
    found = look(infj(queueName="night", status=indexed()), queues={("team", "night"): NIGHT})
    (create,) = found.created
    assert create.job["spec"]["suspend"]
    assert create.job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "night"
