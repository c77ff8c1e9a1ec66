"""Measure first mini-batches: which ones, in which order, and where their rows are kept."""
