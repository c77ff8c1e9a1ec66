"""The hot path of the work step: images through the engine into parts."""
