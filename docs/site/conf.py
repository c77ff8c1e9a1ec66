"""Sphinx's settings for the site; make_site.py runs Sphinx with them."""

import tomllib
from pathlib import Path

_HERE = Path(__file__).parent

project = "DueBy"
release = tomllib.loads((_HERE.parents[1] / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser"]
# Headings have the anchors that forges give them, which is what links in the documents name.
myst_heading_anchors = 4
# Quotes and dots as printers set them, but no dashes: of --weights there would be one left.
smartquotes_action = "qe"
# Lists of fields and options: a definition for each, with an anchor.
myst_enable_extensions = ["attrs_inline", "deflist"]
# A block of code without a language is what a terminal shows.
highlight_language = "text"
html_theme = "furo"
html_title = f"DueBy {release}"
html_static_path = [str(_HERE / "static")]
html_css_files = ["site.css"]
# The sources are in the repository.
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
# Pages of text have no index of names.
html_use_index = False
