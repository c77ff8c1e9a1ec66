"""The profiler: measures the latency, warm-up, memory and start-up time of this machine's devices.

    machine/     what this machine has: cores, GPUs, limits, and who else uses them
    measuring/   fresh processes that measure side by side, and what they are told to do
    analysis/    from measurements to a GPUProfile
    monitor/     watches the hardware meanwhile and writes Parquet

`profiling.profile_machine` measures a whole machine, `step.run_step` the one device of a pod.
"""
