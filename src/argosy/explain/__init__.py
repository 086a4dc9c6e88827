"""Answers from what is configured, without changing anything: evaluate, analyse, what-if. Pure: no I/O, no clock.

It reads resources and the model, and never what was translated for Envoy.
"""
