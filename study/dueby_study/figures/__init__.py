"""The study's figures, drawn from its numbers."""
