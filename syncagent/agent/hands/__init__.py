"""What carries out the node's effects, each in a lane of its own, through ports only.

`eye` looks, `committer` changes, `serving` feeds peers, `fetching` answers from files; `lanes` are
the threads, `memory` is what two of them share, `desk` is where people's questions come in.
"""
