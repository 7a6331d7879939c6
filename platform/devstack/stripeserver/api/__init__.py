"""A request to the API, from its key to its answer."""
