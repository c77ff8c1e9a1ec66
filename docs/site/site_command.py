"""The page about the command line, from the parsers of the commands."""

import argparse
from collections.abc import Iterator

from dueby.cli.arguments import parser_of
from dueby.cli.main import SUBCOMMANDS
from site_markdown import plain

# As wide as a block of code on the site without scrolling.
_WIDTH = 80
_HEAD = """# The command line

`dueby COMMAND --help` prints the same. [The command](/command.md) has the exit codes, and how several
jobs share a machine.
"""


def command_page() -> str:
    """Return the page's Markdown."""
    return "\n\n".join([_HEAD, *(text for name in SUBCOMMANDS for text in _subcommand(name))]) + "\n"


def _subcommand(name: str) -> Iterator[str]:
    """Yield the section about a subcommand."""
    (commands,) = (action for action in parser_of([name])._actions if isinstance(action, argparse._SubParsersAction))
    parser: argparse.ArgumentParser = commands.choices[name]
    yield f"## dueby {name}"
    yield plain(parser.description or "")
    yield f"```text\n{_usage(parser)}\n```"
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            yield _option(name, action, told=parser._get_formatter()._expand_help(action) if action.help else "")
    if parser.epilog:
        _, _, examples = parser.epilog.partition("\n")
        yield "Examples:"
        yield f"```text\n{_unindented(examples)}\n```"


def _usage(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(prog=parser.prog, width=_WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    return formatter.format_help().strip()


def _option(command: str, action: argparse.Action, *, told: str) -> str:
    """Return an option's entry, or an argument's: how it is written, and what it does, as `told`."""
    if action.option_strings:
        names = ", ".join(f"`{name}`" for name in action.option_strings)
        value = "" if action.nargs == 0 else " | ".join(action.choices or [action.metavar or action.dest.upper()])
        need = " [required]{.required}" if action.required else ""
    else:
        names, value, need = f"`{action.metavar or action.dest}`", "", ""
    anchor = f"{command}-{(action.option_strings or [action.dest])[-1].strip('-')}"
    told = plain(told)
    return f"[{names}]{{#{anchor}}} [{plain(value)}]{{.type}}{need}\n: {told[:1].upper()}{told[1:]}."


def _unindented(text: str) -> str:
    return "\n".join(line.strip() for line in text.strip().splitlines())
