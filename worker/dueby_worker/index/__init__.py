"""Listing a source and freezing its order."""
