"""Seeds that once found something; each is run in every test run.

A seed's run changes with the code, so an old one may come to prove less than it did: what it found
is in the commit that mended it.
"""

FOUND_BESIDE = (5, 14, 27, 31, 33, 86, 97, 155, 156)
"""Those that did so with runtimes beside the agents."""

OPEN_BESIDE = (15, 30, 54)
"""Seeds with runtimes that find something that is not mended yet: not run, and not forgotten.

15: a worker gets something a moment before the canary's runtime has taken it. 30 and 54: an outcome
that the modelled runtime does not bear out.
"""

FOUND = (123, 147, 154, 174, 186, 192, 207, 247, 297, 1077, 1693)
