"""The service over HTTP: the gate that others ask, and what they tell of releases."""
