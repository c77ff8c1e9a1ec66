"""Image files, read and decoded to the pixels that a model sees."""
