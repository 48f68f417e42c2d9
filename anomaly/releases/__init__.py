"""Where releases are learnt of: one module for each kind of source."""
