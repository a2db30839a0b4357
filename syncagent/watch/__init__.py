"""Hints that a tree may have changed; the home of watchdog."""
