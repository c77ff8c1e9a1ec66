"""`import dueby` for notebooks, and the `dueby` command: subcommands, the backend for one machine, the report."""
