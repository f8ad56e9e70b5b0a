"""Plumbing that every HTTP role shares."""
