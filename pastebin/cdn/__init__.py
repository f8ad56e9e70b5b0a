"""The CDN: edges, and the workers that keep them right."""
