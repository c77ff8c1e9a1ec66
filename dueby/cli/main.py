"""The `dueby` command. Each subcommand has a file of its own, which is imported only when it is called.

Exit codes: 0: done, and in time. 2: the input is wrong. 3: the deadline can't be met. 4: the job ran, but was late or
failed more images than allowed. 1: anything else. What was asked for goes to stdout, and everything
else that is for people to stderr.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from dueby_api.errors import Invalid, Transient

SUBCOMMANDS = {
    "profile": "measure this machine and write a GPUProfile for each of its device classes",
    "plan": "show what would run, without running it",
    "run": "index, plan and run a job on this machine",
    "report": "write an HTML page about a run",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = parser_of(words).parse_args(words)
    return exit_code(f"dueby {parsed.command}", lambda: int(parsed.run(parsed)))


def parser_of(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of these words: it knows the options of their subcommand alone."""
    parser = argparse.ArgumentParser(
        prog="dueby",
        description="Classify N images by a deadline on the fewest GPUs, with a proof that fewer can't do it.",
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, purpose in SUBCOMMANDS.items():
        command = commands.add_parser(
            name,
            help=purpose,
            description=f"{purpose[0].upper()}{purpose[1:]}.",
            # Leaves the lines of the examples as they are.
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        # Only the subcommand that is called is imported: `dueby plan` must not wait for what `dueby run` needs.
        if words[:1] == [name]:
            module = importlib.import_module(f"dueby.cli.{name}")
            module.add_arguments(command)
            command.epilog = module.EXAMPLES
            command.set_defaults(run=module.run)
    return parser


def exit_code(program: str, run: Callable[[], int]) -> int:
    """Run the function and return its exit code; print an error in one line, after the program's name."""
    try:
        return run()
    except Invalid as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except Transient as error:
        print(f"{program}: {error}. Try the same command again later.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 1


class _Version(argparse.Action):
    """Look up the version only when it is asked for, because importlib.metadata takes 30 ms."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"dueby {version('dueby')}")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
