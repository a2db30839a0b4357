"""What a node remembers: where it stands, revisions, blobs, events, the highest token, its home.

The ledger (`ledger`) is the truth of where the node stands; the blob packs (`blobs`) hold bytes
that a revision named; the SQLite records (`records`) answer questions about the past and may be
lost. `guard` is the memory of the highest token, `home` the folder that all of it lies in.
"""
