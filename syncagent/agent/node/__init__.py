"""What one node decides: values in, effects out. No I/O, no clock, no thread.

Reading order: `node` (where everything comes in and goes out), `state` (what it knows), `observing`
(the trees), `advancing` with `planning` and `gathering` (from one revision to the next), `declaring`
and `proposing` (how changes become revisions), `electing` and `leading` (the manager), `working` (a
worker), `answering` with `waiting`, `deciding`, `asking` and `reporting` (people).
"""
