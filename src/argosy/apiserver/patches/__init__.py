"""The patches: from an object and what a client sent to the object that it wants. Pure; neither argument is changed."""
