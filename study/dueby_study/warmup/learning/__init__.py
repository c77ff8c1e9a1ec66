"""Learn from rows of warm-ups: which features decide W, and how well it can be predicted."""
