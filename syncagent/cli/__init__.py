"""The command line; the home of click."""
