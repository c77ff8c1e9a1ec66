"""The command's exit codes that several subcommands share. 0 is done and in time, 1 is anything that isn't named."""

EXIT_INTERRUPTED = 1
EXIT_INVALID = 2
EXIT_INFEASIBLE = 3
EXIT_LATE = 4
