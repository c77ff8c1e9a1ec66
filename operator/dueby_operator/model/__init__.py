"""Values that the decision takes and returns, whichever backend it is for: jobs, workers, devices, actions."""
