"""The demo application: a small shop that runs in the mesh exactly as a user's services would."""
