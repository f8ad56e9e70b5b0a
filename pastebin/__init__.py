"""A paste service that starts with one command and grows into a planet-wide system."""

__version__ = "0.1.0"
