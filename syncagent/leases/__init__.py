"""Where the right to be manager is kept: one file per backend."""
