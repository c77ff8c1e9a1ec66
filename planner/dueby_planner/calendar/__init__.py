"""All jobs on one pool: which devices each has when, and a proof where that is impossible. Pure."""
