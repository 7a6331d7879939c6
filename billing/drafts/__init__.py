"""Price changes that staff collect, look at, and publish all or none."""
