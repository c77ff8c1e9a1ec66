"""Charts as SVG, made of values."""
