"""The command's exit codes that several subcommands share. 0 is done and in time, 1 is anything that isn't named."""

# As shells say of a command that Ctrl-C has ended: 128 and the signal's number.
EXIT_INTERRUPTED = 130
# The same of one whose reader has gone, as in `dueby plan -f job.yaml | head -1`.
EXIT_NO_READER = 141
EXIT_INVALID = 2
EXIT_INFEASIBLE = 3
EXIT_LATE = 4
