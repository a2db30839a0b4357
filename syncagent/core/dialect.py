"""Whose Synapse reads the artifacts: what it knows and what it refuses depends on that."""

from __future__ import annotations

from enum import StrEnum


class Dialect(StrEnum):
    """Named as the kind of the runtime that reads it."""

    WSO2 = "carbon"
    """what some product of WSO2 takes; also where nothing is known of the runtime"""
    APACHE = "synapse"
    """Apache Synapse 3.0.1, which lacks what WSO2 added since it went its own way"""
