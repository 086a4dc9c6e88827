"""The tables of the Snapshot: one for each kind of configuration, with its indexes and the facts it changes.

A new kind is a module here and a line in `snapshot.Snapshot`; see `base.Table` for what it has to say.
"""
