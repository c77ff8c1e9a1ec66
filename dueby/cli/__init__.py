"""The `dueby` command, one file per subcommand."""
