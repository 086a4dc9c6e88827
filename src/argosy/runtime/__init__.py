"""What every process of ours stands on: directories, logging, locks, preflight, errors with a remedy.

Rule of the room: the lowest floor of the shell. The pure core (resources, model, translate) never imports it.
"""
