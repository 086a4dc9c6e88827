"""Who runs where: services, endpoints and workloads, as the model's own structs, one module per platform.

Rule: a registry says what changed, in whole values (`argosy.model.updates.RegistryUpdate`), and nothing of routing or
policy. `base` is what every platform's registry gives; `objects` makes the same out of stored objects, without I/O.
"""
