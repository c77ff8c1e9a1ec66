"""Expand braces in a URI, as shells and webdataset do: `{000..127}` are numbers, `{train,val}` are alternatives.

    shards-{000..127}.tar      128 names, padded with zeros because the bounds are
    {train-{0..9},val}.tar     11 names: braces may stand within braces
    {0..100..10}               every tenth number; {a..e} are letters
    {x}                        no alternatives, so it stays as it is

A text says how many names it means before any of them is made: `{0..999999999}` costs nothing.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod

_NUMBERS = re.compile(r"(-?[0-9]{1,18})\.\.(-?[0-9]{1,18})(?:\.\.(-?[0-9]{1,18}))?")
_LETTERS = re.compile(r"([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?[0-9]{1,18}))?")
_PADDED = re.compile(r"-?0[0-9]")
# Braces within braces. Nobody nests more of them by intention.
MAX_DEPTH = 20


@dataclass(frozen=True)
class Names:
    """The texts that a text with braces means, in order."""

    count: int
    _make: Callable[[], Iterator[str]]

    def __iter__(self) -> Iterator[str]:
        return self._make()


def expand(text: str) -> Names:
    """Return what the text means. Raise ValueError if a brace isn't closed, or if too many are nested."""
    return _sequence(text, 0, ends="", depth=0)[0]


def _sequence(text: str, at: int, *, ends: str, depth: int) -> tuple[Names, int]:
    """Return what the text from `at` to one of `ends` means, and where that is."""
    if depth > MAX_DEPTH:
        raise ValueError(f"nests braces more than {MAX_DEPTH} deep")
    pieces: list[Names] = []
    while at < len(text) and text[at] not in ends:
        if text[at] == "{":
            piece, at = _brace(text, at, depth=depth + 1)
        else:
            begin = at
            while at < len(text) and text[at] != "{" and text[at] not in ends:
                at += 1
            piece = _literal(text[begin:at])
        pieces.append(piece)
    return Names(prod(piece.count for piece in pieces), lambda: _joined(pieces)), at


def _brace(text: str, at: int, *, depth: int) -> tuple[Names, int]:
    """Return what the brace that opens at `at` means, and where the text goes on after it."""
    begin, options = at + 1, []
    while at == begin - 1 or text[at] == ",":
        option, at = _sequence(text, at + 1, ends=",}", depth=depth)
        if at == len(text):
            raise ValueError("has a { without its }")
        options.append(option)
    if len(options) > 1:
        return Names(sum(option.count for option in options), lambda: chain.from_iterable(options)), at + 1
    return _range(text[begin:at]) or _in_braces(options[0]), at + 1


def _range(body: str) -> Names | None:
    """Return the numbers or letters that a brace's content means; None if it is something else."""
    if letters := _NUMBERS.fullmatch(body):
        first, last = letters[1], letters[2]
        width = max(len(first), len(last)) if _PADDED.match(first) or _PADDED.match(last) else 0
        numbers = _steps(int(first), int(last), letters[3])
        return Names(len(numbers), lambda: (f"{number:0{width}d}" for number in numbers))
    if letters := _LETTERS.fullmatch(body):
        codes = _steps(ord(letters[1]), ord(letters[2]), letters[3])
        return Names(len(codes), lambda: map(chr, codes))
    return None


def _steps(first: int, last: int, step: str | None) -> range:
    """Return the numbers from the first to the last one, both inclusive, up or down."""
    width = abs(int(step or 1)) or 1
    return range(first, last + 1, width) if first <= last else range(first, last - 1, -width)


def _literal(text: str) -> Names:
    return Names(1, lambda: iter((text,)))


def _in_braces(names: Names) -> Names:
    return Names(names.count, lambda: (f"{{{name}}}" for name in names))


def _joined(pieces: Sequence[Names]) -> Iterator[str]:
    """Yield every combination of the pieces, of which the last one changes fastest."""
    begun: list[tuple[Iterator[str], str]] = [(iter(("",)), "")]
    while begun:
        names, before = begun[-1]
        name = next(names, None)
        if name is None:
            begun.pop()
        elif len(begun) > len(pieces):
            yield before + name
        else:
            begun.append((iter(pieces[len(begun) - 1]), before + name))
