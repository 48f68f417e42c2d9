"""Each step alone, for notebooks."""
