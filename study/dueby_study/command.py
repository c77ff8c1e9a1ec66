"""The entry point of `dueby-study`. Its work is imported by a function, so that a Ctrl-C then is no traceback."""

import sys
from collections.abc import Sequence

from dueby.cli.main import exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return exit_code("dueby-study", lambda: _run(arguments), is_resumed=True)


def _run(arguments: Sequence[str] | None) -> int:
    from dueby_study.make import make, parse

    return make(parse(arguments))


if __name__ == "__main__":
    sys.exit(main())
