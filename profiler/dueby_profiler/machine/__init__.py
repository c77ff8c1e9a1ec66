"""What this machine has: GPUs, cores, memory, and how they are cut into devices."""
