"""The loop and its hands; only the wiring names a shell."""
