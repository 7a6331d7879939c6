"""Promotion codes: staff hand them out, an organization redeems each once."""
