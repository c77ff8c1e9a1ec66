"""Profiles in a cluster: measured on demand and on a schedule, aggregated by class, checked for drift."""
