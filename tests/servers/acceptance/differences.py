"""Where the kube-apiserver answers a row otherwise than we do, and why that is meant. Each is checked to be so."""

from __future__ import annotations

DIFFERENCES: dict[str, str] = {}
"""From the name of a row to the reason."""
