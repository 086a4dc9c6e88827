"""Beside the workloads: one process per host and user that looks after every sidecar there.

Rule of the room: no mesh logic. xDS resources stay opaque bytes.
"""
