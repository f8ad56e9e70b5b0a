"""The origin wing: web, read and write."""
