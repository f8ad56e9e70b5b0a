"""SQL and blobs; never HTTP."""
