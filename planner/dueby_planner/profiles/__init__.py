"""From GPU profiles to the pool of devices that a job is planned on."""
