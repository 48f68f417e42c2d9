"""Decision: which findings count against the release, and what that makes of it."""
