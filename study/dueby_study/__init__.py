"""The study "On Serving Image Classification Models" reproduced. Nothing of the product imports it."""
