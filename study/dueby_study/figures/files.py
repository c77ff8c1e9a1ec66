"""Where a study keeps its figures, for whoever draws, embeds or links them."""

FOLDER = "figures"
"""Inside the study's folder."""
PREFIX = "study-"
"""Of every figure's file name, since documents keep figures of other origin beside them."""
