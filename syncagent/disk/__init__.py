"""Scan, stage, commit, quarantine: what happens to a node's trees."""
