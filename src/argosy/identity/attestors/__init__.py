"""Proof of identity, as plugins: what gathers a proof beside a workload, and what verifies it at the server.

    agent: Gatherer ── a proof (text) ──> server: Verifier ── KEY=VALUE … ──> selectors ── registrations ──> accounts

Rules: a verifier says what was *proven*, never what somebody may do with it; what it says gets the name of its Attestor
object in front, so that none can speak for another; a proof is at most `LONGEST_PROOF` and taken apart only as far as
it is believed. A verifier raises `Unproven` with a reason, which goes to the log alone: whoever failed hears nothing
of it.

Types `jwt`, `kubernetes` and `x509` are here. A package of yours adds one through the entry points of the group
`argosy.attestors`: the name is the type, the object an instance of `Plugin`.
"""

from __future__ import annotations

from argosy.identity.attestors.base import (
    GROUP,
    LONGEST_PROOF,
    Gatherer,
    Plugin,
    Unproven,
    Verifier,
    named,
    plugin,
)

__all__ = ["GROUP", "LONGEST_PROOF", "Gatherer", "Plugin", "Unproven", "Verifier", "named", "plugin"]
