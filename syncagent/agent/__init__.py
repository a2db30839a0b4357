"""The agent: `loop` joins a `node` that decides with `hands` that act; `wiring` names the shells.

`effects` are what the node wants done, `results` what came of it and what else it is told.
"""
