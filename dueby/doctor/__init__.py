"""What this machine and its cluster can do: the checks of `dueby doctor`."""
