"""Select images below a folder, by a glob or by their extensions.

`*` and `?` match within a name, but not a dot at its beginning. `**` matches any number of folders. `[a-z]`, `[!a-z]`
and `{jpg,png}` are as in a shell. There is one matcher for every store, because the stores' own matchers differ.
"""

from dataclasses import dataclass

from dueby_worker.index.glob_matcher import GlobMatcher
from dueby_worker.storage.uris import is_glob, literal_folder

IMAGE_EXTENSIONS = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".heic", ".heif", ".hif"),
        *(".gif", ".bmp", ".dib", ".tif", ".tiff"),
    }
)


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
