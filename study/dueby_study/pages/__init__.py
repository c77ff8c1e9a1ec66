"""The study's results as an HTML page and as Markdown."""
