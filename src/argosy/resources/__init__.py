"""What people write: the kinds, their fields, defaults and validation; one module per API group.

Rule of the room: it imports no other room, does no I/O and reads no clock.
"""
