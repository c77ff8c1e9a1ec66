"""Result rows: parts, the sink, and whose results it holds."""
