"""Connections between agents; the home of paramiko."""
