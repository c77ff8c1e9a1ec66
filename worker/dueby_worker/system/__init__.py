"""What a process has of the operating system: temporary folders, and an end together with its parent."""
