"""The work step's hot path: images through the engine into parts."""
