"""The wing of analytics: events in, statistics out."""
