"""Whole objects in Stripe's shapes, a function each; what the local Stripe doesn't do has the value that means so."""
