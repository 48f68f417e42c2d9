"""HTTP for sources and sinks."""
