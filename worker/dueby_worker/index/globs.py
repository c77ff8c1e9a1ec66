"""Select images below a folder, by a glob or by their extensions.

`*` and `?` match within a name, but not a dot at its beginning. `**` matches any number of folders. `[a-z]`, `[!a-z]`
and `{jpg,png}` are as in a shell. There is one matcher for every store, because the stores' own matchers differ.
"""

import re
from dataclasses import dataclass

from dueby_worker.storage.uris import is_glob

IMAGE_EXTENSIONS = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """The images below `folder` (relative to a store) whose path from that folder matches."""

    folder: str
    pattern: re.Pattern[str] | None
    """None selects every file with an image's extension, except hidden ones."""

    def __contains__(self, path: str) -> bool:
        if self.pattern is not None:
            return self.pattern.fullmatch(path) is not None
        return is_image_name(path) and not any(name.startswith(".") for name in path.split("/"))


def is_image_name(path: str) -> bool:
    """Return whether the name has an image's extension, in upper or lower case."""
    name = path.rpartition("/")[2]
    return "." in name and name[name.rindex(".") :].lower() in IMAGE_EXTENSIONS


def select(path: str) -> Selection:
    """Return the selection that a folder's path or a glob means. Raise ValueError if the glob is wrong."""
    if not is_glob(path):
        return Selection(folder=path.rstrip("/"), pattern=None)
    names = path.split("/")
    literal = next(i for i, name in enumerate(names) if is_glob(name))
    rest = "/".join(names[literal:])
    if rest.endswith("/"):
        raise ValueError("ends with /, so it can only match folders; add a name, such as *.jpg")
    return Selection(folder="/".join(names[:literal]), pattern=re.compile(_translate(rest)))


def _translate(glob: str) -> str:
    """Return the glob as a regular expression."""
    pattern, at, braces = "", 0, 0
    while at < len(glob):
        char, begins = glob[at], at == 0 or glob[at - 1] == "/"
        # A wildcard at the beginning of a name does not match a dot, so that hidden files stay hidden.
        visible = r"(?!\.)" if begins else ""
        if begins and glob.startswith("**/", at):
            pattern, at = pattern + r"(?:(?!\.)[^/]+/)*", at + 3
        elif begins and glob[at:] == "**":
            pattern, at = pattern + r"(?:(?!\.)[^/]+/)*(?!\.)[^/]+", at + 2
        elif char == "*":
            pattern, at = pattern + visible + "[^/]*", at + 1
        elif char == "?":
            pattern, at = pattern + visible + "[^/]", at + 1
        elif char == "[":
            chars, at = _character_class(glob, at)
            pattern += visible + chars
        elif char == "{":
            pattern, at, braces = pattern + "(?:", at + 1, braces + 1
        elif char == "}" and braces:
            pattern, at, braces = pattern + ")", at + 1, braces - 1
        elif char == "," and braces:
            pattern, at = pattern + "|", at + 1
        else:
            pattern, at = pattern + re.escape(char), at + 1
    if braces:
        raise ValueError("has a { without its }")
    return pattern


def _character_class(glob: str, at: int) -> tuple[str, int]:
    """Return the character class that begins at `at` as a regular expression, and where it ends."""
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
        re.compile(f"[{chars}]")
    except re.error as error:
        raise ValueError(f"has {glob[at : end + 1]}: {error.msg}") from None
    return f"(?!/)[{'^' if negated else ''}{chars}]", end + 1
