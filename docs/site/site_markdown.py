"""Texts of the code as Markdown: a star in a sentence is a star."""

import re

# A piece of code, which stays as it is, or a sign that means something in Markdown.
_CODE_OR_SIGN = re.compile(r"(`[^`]*`)|([\\*_<\[\]{}|])")


def plain(text: str) -> str:
    """Return Markdown that shows the text as it is, with what is between backquotes as code."""
    return _CODE_OR_SIGN.sub(lambda found: found[1] or f"\\{found[2]}", " ".join(text.split()))
