"""Image files decoded to what a model sees."""
