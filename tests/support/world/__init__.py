"""A deterministic simulation of a whole cluster: DueBy's operator and workers as they are, the rest made up by a seed.

scheduler.py is time; library.py puts it beneath DueBy's code; api_server.py, cluster.py and bucket.py are what that
code talks to; scenario.py draws jobs, nights.py and pools.py what comes in some worlds, weather.py faults; checks.py
says what must hold, excuses.py what a job may be late by.
"""

from support.world import library

library.install()

from support.world import bucket, devices, network, pages  # noqa: E402  these import of DueBy what is simulated by now

devices.install()
library.replace_devices({"dueby_worker.storage.object_store": {"ObjectStore": bucket.SimulatedStore}})
library.replace_modules({"aiohttp": network.MODULE, "http.server": pages.MODULE})
