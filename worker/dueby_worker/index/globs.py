"""Select images below a folder, by a glob or by their extensions.

`*` and `?` match within a name, but not a dot at its beginning. `**` matches any number of folders. `[a-z]`, `[!a-z]`
and `{jpg,png}` are as in a shell. There is one matcher for every store, because the stores' own matchers differ.

A regular expression tries one reading of a glob after the other, and `*a*a*a*a*b` has so many that one name takes
minutes. Here a glob becomes a short program, all readings of which are followed at once, a letter of the name after the
other. Which places of the program are reached after a letter is noted, so that most letters cost one look-up.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dueby_worker.storage.uris import is_glob, literal_folder

IMAGE_EXTENSIONS = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".heic", ".heif", ".hif"),
        *(".gif", ".bmp", ".dib", ".tif", ".tiff"),
    }
)
# Places and letters that are noted before all of them are forgotten; 100 bytes each.
MAX_NOTED = 100_000


@dataclass(frozen=True, kw_only=True)
class _Step:
    """A step of the program: a letter is taken, then the next step follows; or others follow without one."""

    takes: Callable[[str], object] | None = None
    """Whether this letter can be taken."""
    leads_to: tuple[int, ...] = ()
    is_visible: bool = False
    """Whether the letter that comes next must not be a dot."""


@dataclass(eq=False, slots=True)
class _State:
    """Places of the program that some letters lead to."""

    places: frozenset[int]
    following: dict[str, "_State"] = field(default_factory=dict)
    accepts: bool | None = None
    """Whether a name may end here; None before it was looked at."""


class GlobMatcher:
    """A glob that names can be matched against."""

    def __init__(self, glob: str) -> None:
        """Raise ValueError if the glob is wrong."""
        self._program = _compiled(glob)
        self._noted = 0
        self._states: dict[frozenset[int], _State] = {}
        self._start = self._state(frozenset({0}))

    def matches(self, name: str) -> bool:
        state = self._start
        for letter in name:
            state = state.following.get(letter) or self._follow(state, letter)
            if not state.places:
                return False
        if state.accepts is None:
            state.accepts = len(self._program) in self._reached(state.places, "")
        return state.accepts

    def _follow(self, state: _State, letter: str) -> _State:
        """Return the state that the letter leads to, and note it."""
        if self._noted > MAX_NOTED:
            self._noted, self._states = 0, {}
            self._start = self._state(frozenset({0}))
        reached = self._reached(state.places, letter)
        steps = ((place, self._program[place].takes) for place in reached if place < len(self._program))
        following = self._state(frozenset(place + 1 for place, takes in steps if takes and takes(letter)))
        state.following[letter] = following
        self._noted += 1
        return following

    def _state(self, places: frozenset[int]) -> _State:
        state = self._states.get(places)
        if state is None:
            state = self._states[places] = _State(places)
            self._noted += len(places)
        return state

    def _reached(self, places: Iterable[int], letter: str) -> set[int]:
        """Return the places that are reached without taking a letter, where this one comes next; empty at the end."""
        reached: set[int] = set()
        waiting = list(places)
        while waiting:
            place = waiting.pop()
            if place in reached:
                continue
            reached.add(place)
            if place < len(self._program):
                step = self._program[place]
                if not (step.is_visible and letter == "."):
                    waiting.extend(step.leads_to)
        return reached


@dataclass(frozen=True, kw_only=True)
class _Brace:
    """A brace that is open: where it stands, where its alternatives begin, and where they end."""

    opens_at: int
    begins: list[int]
    ends: list[int] = field(default_factory=list)


def _compiled(glob: str) -> list[_Step]:
    """Return the glob's program. Raise ValueError if the glob is wrong."""
    program: list[_Step] = []
    braces: list[_Brace] = []
    at = 0
    while at < len(glob):
        begins = at == 0 or glob[at - 1] == "/"
        if begins and (glob.startswith("**/", at) or glob[at:] == "**"):
            _add_folders(program, with_names=glob[at:] == "**")
            at += 3
        elif glob[at] == "{" or (glob[at] in ",}" and braces):
            _add_brace(program, braces, glob[at])
            at += 1
        else:
            # A wildcard at the beginning of a name does not match a dot, so that hidden files stay hidden.
            if begins and glob[at] in "*?[":
                _add_visible(program)
            at = _add_letters(program, glob, at)
    if braces:
        raise ValueError("has a { without its }")
    return program


def _add_letters(program: list[_Step], glob: str, at: int) -> int:
    """Add what the glob takes of a name at this place, and return where it goes on."""
    match glob[at]:
        case "*":
            _add_star(program)
        case "?":
            program.append(_Step(takes=_is_in_name))
        case "[":
            takes, at = _character_class(glob, at)
            program.append(_Step(takes=takes))
            return at
        case letter:
            program.append(_Step(takes=letter.__eq__))
    return at + 1


def _add_brace(program: list[_Step], braces: list[_Brace], char: str) -> None:
    """Add where a brace opens, one of its alternatives ends, or it closes."""
    program.append(_Step())
    if char == "{":
        braces.append(_Brace(opens_at=len(program) - 1, begins=[len(program)]))
        return
    brace = braces[-1]
    brace.ends.append(len(program) - 1)
    if char == ",":
        brace.begins.append(len(program))
        return
    program[brace.opens_at] = _Step(leads_to=tuple(brace.begins))
    for end in brace.ends:
        program[end] = _Step(leads_to=(len(program),))
    braces.pop()


def _add_visible(program: list[_Step]) -> None:
    program.append(_Step(is_visible=True, leads_to=(len(program) + 1,)))


def _add_star(program: list[_Step]) -> None:
    """Add any number of letters of a name."""
    at = len(program)
    program += [_Step(leads_to=(at + 1, at + 3)), _Step(takes=_is_in_name), _Step(leads_to=(at,))]


def _add_folders(program: list[_Step], *, with_names: bool) -> None:
    """Add any number of folders, none of them hidden, and what is in them if the glob ends here."""
    at = len(program)
    program.append(_Step())
    _add_visible(program)
    program.append(_Step(takes=_is_in_name))
    _add_star(program)
    program += [_Step(takes="/".__eq__), _Step(leads_to=(at,))]
    program[at] = _Step(leads_to=(at + 1, len(program)))
    if with_names:
        _add_visible(program)
        program.append(_Step(takes=_is_in_name))
        _add_star(program)


def _is_in_name(letter: str) -> bool:
    return letter != "/"


def _character_class(glob: str, at: int) -> tuple[Callable[[str], object], int]:
    """Return whether a letter is in the class of characters that begins at `at`, and where that ends."""
    negated = glob[at + 1 : at + 2] in ("!", "^")
    begin = at + 1 + negated
    # The search starts one later, because a ] that comes first is an ordinary character.
    end = glob.find("]", begin + 1)
    if end < 0:
        raise ValueError("has a [ without its ]")
    chars = glob[begin:end].replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]").replace("^", r"\^")
    # Python reserves these pairs for set operations.
    chars = re.sub(r"&&|\|\||~~|--", lambda pair: "\\" + "\\".join(pair[0]), chars)
    try:
        return re.compile(f"(?!/)[{'^' if negated else ''}{chars}]").fullmatch, end + 1
    except re.error as error:
        raise ValueError(f"has {glob[at : end + 1]}: {error.msg}") from None


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The images below `folder` (relative to a store) whose path from that folder matches."""

    folder: str
    pattern: GlobMatcher | None
    """None selects every file with an image's extension, except hidden ones."""

    def __contains__(self, path: str) -> bool:
        if self.pattern is not None:
            return self.pattern.matches(path)
        return is_image_name(path) and not any(name.startswith(".") for name in path.split("/"))


def is_image_name(path: str) -> bool:
    """Return whether the name has an image's extension, in upper or lower case."""
    name = path.rpartition("/")[2]
    return "." in name and name[name.rindex(".") :].lower() in IMAGE_EXTENSIONS


def select(path: str) -> Selection:
    """Return the selection that a folder's path or a glob means. Raise ValueError if the glob is wrong."""
    if not is_glob(path):
        return Selection(folder=path.rstrip("/"), pattern=None)
    folder = literal_folder(path)
    rest = path.removeprefix(folder).removeprefix("/")
    if rest.endswith("/"):
        raise ValueError("ends with /, so it can only match folders; add a name, such as *.jpg")
    return Selection(folder=folder, pattern=GlobMatcher(rest))
