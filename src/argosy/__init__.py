"""Argosy: a service mesh with a Python control plane over stock Envoy."""

__version__ = "0.1.0"
