"""Gathering the snapshot: what the API server lists and watches, and what workers answer when they are asked."""
