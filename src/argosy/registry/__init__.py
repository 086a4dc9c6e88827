"""Who runs where: the Registry protocol and one module per platform.

Rule of the room: a registry gives the model's own structs (services and endpoints).
"""
