"""From what the processes measured to a GPUProfile. Nothing here starts a process or reads a clock."""
