"""Envoy's filters, one module each; the order of HTTP filters is `order`.

Each HTTP filter module has `NAME` and `http_filter(…)`; what varies per route is `per_route(…)`.
"""
