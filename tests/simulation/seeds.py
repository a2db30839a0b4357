"""Seeds that once found something; each is run in every test run.

A seed's run changes with the code, so an old one may come to prove less than it did: what it found
is in the commit that mended it.
"""

FOUND_BESIDE = (5, 8, 14, 15, 27, 30, 31, 33, 54, 66, 72, 86, 96, 97, 155, 156)
FOUND_BESIDE += (1081, 1083, 1107, 1215, 1411, 1503, 4134, 4165, 4181, 4212, 4336)
"""Those that did so with runtimes beside the agents."""

OPEN_BESIDE = (79, 85, 4129, 4135, 4282, 4301, 4310, 4342, 4384, 4409, 4443, 4445)
"""Seeds with runtimes that find something that is not mended yet: not run, and not forgotten.

79: a commit began before the runtime's start, wrote after it, and is taken for loaded with it. 85, 4135,
4282, 4342, 4384, 4443: drift is reverted to bytes that the runtime here has refused. 4129, 4310, 4409,
4445: what was refused had been written over what waited, and nobody saw that. 4301: a touch that is
not heard of leaves an alarm.
"""

FOUND = (123, 147, 154, 174, 186, 192, 207, 247, 297, 1077, 1693)

FOUND_ELECTED = (37, 42, 73, 229)
"""Those that did so with managers that are elected."""

FOUND_ELECTED_BESIDE = (329,)
"""Those that did so with both."""
