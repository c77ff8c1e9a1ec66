"""The `dueby` command. Each subcommand has a file of its own, which is imported only when it is called.

Exit codes: 0: done, and in time. 2: the input is wrong. 3: the deadline can't be met. 4: the job ran, but was late or
failed more images than allowed. 130: interrupted. 141: nobody reads what it prints. 1: anything else. What was asked
for goes to stdout, and everything else that is for people to stderr.

Whatever takes time to import is imported by functions here, so that a Ctrl-C then is no traceback.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence

from dueby.cli.exit_codes import EXIT_INTERRUPTED, EXIT_INVALID, EXIT_NO_READER
from dueby.cli.interruption import Interruption
from dueby_api.errors import DueByError, Invalid, Transient
from dueby_api.untrusted import printable

SUBCOMMANDS = ("profile", "plan", "run", "calendar", "report", "doctor")
# What a subcommand takes beyond the small installation.
_EXTRAS, _LARGEST = {"report": "worker"}, "profiler"
# Those that continue where they were stopped.
_RESUMED = ("run",)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words[0] if words and words[0] in SUBCOMMANDS else ""
    return exit_code(f"dueby {name}".rstrip(), lambda: _run(words), is_resumed=name in _RESUMED)


def exit_code(program: str, run: Callable[[], int], *, is_resumed: bool = False) -> int:
    """Run the function and return its exit code; print an error in one line, after the program's name.

    `is_resumed` is whether the same command continues where it was interrupted.
    """
    advice = ". The same command continues where it stopped." if is_resumed else ""
    interruption = Interruption(f"{program}: interrupted{advice}")
    try:
        try:
            with interruption:
                return run()
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        _print_nothing_more()
        return EXIT_NO_READER
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _print_nothing_more()
        print(f"{program}: can't write: {os.strerror(error.errno).lower()}", file=sys.stderr)
        return 1
    except DueByError as error:
        again = ". Try the same command again later." if isinstance(error, Transient) else ""
        print(printable(f"{program}: {error}{again}"), file=sys.stderr)
        return EXIT_INVALID if isinstance(error, Invalid) else 1
    except KeyboardInterrupt:
        interruption.tell()
        return EXIT_INTERRUPTED


def _print_nothing_more() -> None:
    """Drop what can't be written. The interpreter would try once more at its end, and complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(words: Sequence[str]) -> int:
    from dueby.cli.arguments import parser_of
    from dueby.inputs.needs import needing

    parsed = parser_of(words).parse_args(words)
    with needing(parsed.command, _EXTRAS.get(parsed.command, _LARGEST)):
        return int(parsed.run(parsed))


if __name__ == "__main__":
    sys.exit(main())
