"""The Kubernetes-style HTTP API over a store.

Rule of the room: it knows resources and a store, and nothing of the model, of Envoy or of xDS.
"""
