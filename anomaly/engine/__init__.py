"""Engines: where the work of a look is done, in this process, in several, or on a cluster."""
