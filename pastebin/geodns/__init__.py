"""The name server of the service's zone."""
