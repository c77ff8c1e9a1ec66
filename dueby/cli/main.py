"""The `dueby` command: one file per subcommand, each imported only when it is called.

Exit codes: 0 done and in time, 2 the input is wrong, 3 infeasible, 4 ran, but late or with more images failed than
allowed, 1 anything else. What is meant for people goes to stderr or to a terminal.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from dueby_api.errors import Invalid, Transient

SUBCOMMANDS = {
    "profile": "measure this machine and write GPUProfiles",
    "plan": "show what would run, without running it",
    "run": "index, plan and run a job on this machine",
    "report": "write the HTML page of a run",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="dueby",
        description="N images classified by a deadline, on the fewest GPUs, with a proof that fewer can't.",
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, purpose in SUBCOMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
        if words[:1] == [name]:  # only the one that is called pays for its imports
            module = importlib.import_module(f"dueby.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    parsed = parser.parse_args(words)
    return exit_code(f"dueby {parsed.command}", lambda: int(parsed.run(parsed)))


def exit_code(program: str, run: Callable[[], int]) -> int:
    """Run it and return its exit code; print what went wrong in one line, after the program's name."""
    try:
        return run()
    except Invalid as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except Transient as error:
        print(f"{program}: {error}. The same command may succeed later.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return 1


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: importlib.metadata takes 30 ms."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"dueby {version('dueby')}")
        parser.exit()


if __name__ == "__main__":
    sys.exit(main())
