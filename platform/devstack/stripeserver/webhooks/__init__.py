"""Events on their way to the webhook endpoints."""
