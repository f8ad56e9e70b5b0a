"""Ways to look at a file other than its source: each module draws one of them, linear in what it is given."""
