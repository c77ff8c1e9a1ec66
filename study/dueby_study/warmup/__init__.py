"""The warm-up model: first mini-batches measured, and what decides their time."""
