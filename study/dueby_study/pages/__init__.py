"""The study's results as a page and as Markdown."""
