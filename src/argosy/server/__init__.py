"""One control-plane process, assembled from its roles: store + registry -> model -> translate -> xds.

Rule of the room: everything that waits lives here or below in the shell; what can be decided without waiting (debounce,
losses, entries, verdicts) is a function or a small machine that takes time as an argument.
"""
