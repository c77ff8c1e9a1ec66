"""Engines: what runs a model, one file each."""
