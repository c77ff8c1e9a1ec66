"""From what the processes measured to a GPUProfile and its figures. Nothing here starts a process or reads a clock."""
