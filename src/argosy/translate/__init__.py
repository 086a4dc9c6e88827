"""Snapshot + view -> Envoy resources; one module per Envoy resource type, one per filter.

Rule of the room: every generator takes one frozen key struct that holds all its inputs, and is memoised on it.
"""
