"""How the local runtime is told and how its answer is read: one file per kind."""
