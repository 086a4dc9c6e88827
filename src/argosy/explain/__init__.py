"""Answers from what is configured, without changing anything: evaluate, analyse, what-if. Pure: no I/O, no clock.

It reads resources and the model, and never what was translated for Envoy: where a request goes is worked out a second
time, so that the two can be held against each other (`tests/e2e/test_explain_envoy.py`).
"""
