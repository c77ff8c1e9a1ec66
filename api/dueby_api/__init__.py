"""The resources and words that every other package shares. No I/O, and no import of another package of ours."""
