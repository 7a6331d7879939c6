"""Mail to members: what it is about is a row with a unique key, committed before anything is sent."""
