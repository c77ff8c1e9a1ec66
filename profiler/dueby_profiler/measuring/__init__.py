"""Measuring processes: started, asked and ended together."""
