"""Measuring processes: started, asked and ended together, one fresh process on each device of a layout."""
