"""The verbs of a paste, one class each; never HTTP, never SQL."""
