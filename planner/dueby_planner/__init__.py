"""The planner: the fewest devices that meet a deadline, and the proof. Pure: no I/O, no Kubernetes, no torch."""
