"""What each route of the API does, a module per resource; each ends with its table of routes."""
