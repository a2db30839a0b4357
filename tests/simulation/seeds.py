"""Seeds that once found something; each is run in every test run.

A seed's run changes with the code, so an old one may come to prove less than it did: what it found
is in the commit that mended it.
"""

FOUND = (123, 147, 154, 174, 186, 192, 207, 247, 297, 1077, 1693)
