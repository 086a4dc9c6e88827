"""Subscriptions, versions, diffs, the delta ADS server and client, ACK status.

Rule of the room: Envoy's resources are a type URL, a name, a version and bytes. The machines do no I/O.
"""
