"""From measurements to a GPUProfile and its figures."""
