"""What mediators and other elements must say, so that the builder of what they are in takes them.

Each rule is one at which the builders of Apache Synapse 3.0.1 throw, and at which WSO2's throw too as
far as they were read; where only one of them throws, or where a later runtime knows more values, the
artifact passes. `inside` tells which elements count.
"""

from __future__ import annotations

from syncagent.validation.conditions import CONDITION_RULES
from syncagent.validation.content import CONTENT_RULES
from syncagent.validation.endpoints import ENDPOINT_RULES
from syncagent.validation.flow import FLOW_RULES

MEDIATOR_RULES = {**CONTENT_RULES, **FLOW_RULES}
"""By tag: the rule for each such element that is a mediator."""

ELEMENT_RULES = {**ENDPOINT_RULES, **CONDITION_RULES}
"""By tag: the rule for each such element, wherever it stands."""
