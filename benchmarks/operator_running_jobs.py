"""The jobs of operator_running.py: 100 of all deadline classes that run, and 24 for which devices are reserved.

The Hard and Soft jobs that run hold every fast device, four each, for most of two hours. The Relaxed and BestEffort
ones are on slow devices, one to five each, where nobody asks them to give way. The others want fast devices, have five
hours, and so wait for the first ones' end.
"""

from large_cluster import Document
from large_cluster_fill import NODES_OF_A_NET
from operator_scale_objects import DEADLINE_S, FAST, FILL, SIZES, SLOW, inference_job, latency_us

# Devices of each Hard and Soft job, and how much of what they can do by the deadline it is.
FAST_EACH, FULL = 4, 0.85
PROMISED = FILL.gpus_each * NODES_OF_A_NET // FAST_EACH
RUNNING, WAITING = 100, 24
WAITING_DEADLINE_M = 300


def running_job(number: int) -> Document:
    """A job that starts at once."""
    if number < PROMISED:
        return _job(f"running-{number:03d}", ("Hard", "Soft")[number % 2], FAST, devices=FAST_EACH)
    return _job(f"running-{number:03d}", ("Relaxed", "BestEffort")[number % 2], SLOW, devices=1 + number // 2 % 5)


def waiting_job(number: int) -> Document:
    """A job that waits for a fast device."""
    kind = ("Hard", "Soft", "Relaxed")[number % 3]
    return _job(f"waiting-{number:03d}", kind, FAST, devices=FAST_EACH, deadline=f"{WAITING_DEADLINE_M}m")


def _job(name: str, kind: str, device_class: str, *, devices: int, **spec: str) -> Document:
    """A job that keeps so many devices of the class busy for most of two hours."""
    job = inference_job(0)
    images = int(FULL * devices * DEADLINE_S * 1e6 * SIZES[-1] / latency_us(device_class, SIZES[-1]))
    own = {"deadlineClass": kind, "images": images, "gpus": {"classes": [device_class]}}
    own["sink"] = {"uri": f"s3://bucket/{name}"}
    return {**job, "metadata": {**job["metadata"], "name": name}, "spec": {**job["spec"], **own, **spec}}
