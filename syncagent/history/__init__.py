"""Revisions, blobs, the ledger, events: what this node remembers."""
