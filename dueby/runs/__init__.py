"""What a run on this machine is, for the command and for notebooks: from manifests to rows, and what is said of it."""
