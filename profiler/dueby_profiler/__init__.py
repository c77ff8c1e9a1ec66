"""The profiler: measures latency, warm-up, memory and start-up of this machine's devices."""
