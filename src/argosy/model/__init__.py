"""The intermediate representation: the Snapshot, and the lowering of resources and registries into it.

Rule of the room: no Envoy type, no YAML, no I/O, no clock. See `ir` for the structs, `snapshot` for the state.
"""
