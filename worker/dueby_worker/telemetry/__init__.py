"""What a worker shows of itself while it works."""
