"""The steps that a process can be started for, from its configuration to its exit code."""
