"""Classifiers, their weights and their preprocessing."""
