"""The control plane as one process assembled from its roles, and the reconcile loop between them."""
