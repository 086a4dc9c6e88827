"""What the model answers by itself: where a request would go and why, and what a change would do.

Rule: nothing is taken from `translate`. What is said here is worked out a second time, from the model and from what
Envoy does with it, so that the two can be held against each other (`tests/e2e/test_explain_envoy.py`).
"""
