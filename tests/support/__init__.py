"""Builders and servers that tests share; one file per topic."""
