"""The gateway: before the nodes of all regions, the way of a request to the one that suits it."""
