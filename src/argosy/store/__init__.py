"""Where resources live: the Store protocol and its implementations (sqlite, memory), list + watch.

Rule of the room: a store knows keys, revisions and bytes; what the bytes mean is for others.
"""
