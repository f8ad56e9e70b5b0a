"""The role as its node runs it: signed batches in, through databases that are there, missing, or away."""
