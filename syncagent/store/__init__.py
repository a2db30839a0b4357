"""Artifact store mode: not in this version."""
