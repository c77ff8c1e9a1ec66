"""The command's arguments: what all subcommands share, and those of the one that is called."""

import argparse
import importlib
from collections.abc import Sequence

_PURPOSES = {
    "profile": "measure this machine and write a GPUProfile for each of its device classes",
    "plan": "show what would run, without running it",
    "run": "index, plan and run jobs on this machine",
    "calendar": "show which job of a cluster has which devices when",
    "report": "write an HTML page about a run",
    "doctor": "show what this machine, its engines and its cluster can do, and what to do about the rest",
}
# Where a subcommand's name is that of a module of Python's own.
_MODULES = {"calendar": "show_calendar"}


def parser_of(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of these words: it knows the options of their subcommand alone, whose function is `run`."""
    parser = argparse.ArgumentParser(
        prog="dueby",
        description="Classify N images by a deadline on the fewest GPUs, with a proof that fewer can't do it.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, purpose in _PURPOSES.items():
        command = commands.add_parser(
            name,
            help=purpose,
            description=f"{purpose[0].upper()}{purpose[1:]}.",
            # --profile would be taken for --profiles, and start a job.
            allow_abbrev=False,
            # Leaves the lines of the examples as they are.
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        # Only the subcommand that is called is imported: `dueby plan` must not wait for what `dueby run` needs.
        if list(words[:1]) == [name]:
            module = importlib.import_module(f"dueby.cli.{_MODULES.get(name, name)}")
            module.add_arguments(command)
            command.epilog = module.EXAMPLES
            command.set_defaults(run=module.run)
    return parser


class _Version(argparse.Action):
    """Look up the version only when it is asked for, because importlib.metadata takes 30 ms."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"dueby {version('dueby')}")
        parser.exit()
