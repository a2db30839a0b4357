"""syncagent: one agent per gateway node that keeps Synapse artifacts and Siddhi plans equal across a cluster.

Where to start reading: `core` decides and does nothing else; `ports` says what the world must
offer; the shells (`disk`, `watch`, `ssh`, ...) offer it; `agent` is the loop that joins them.
"""

__version__ = "0.1.0"
