"""What a worker reports while it works."""
