"""EnvoyFilters on generated resources: matching, merging, and one module for each family of applyTo.

A view gives each resource, and the patches that may concern it, to `patched`; a proxy without EnvoyFilters never comes
here. Facts are those of Istio's pilot (networking/core/envoyfilter) where nothing else is said.
"""
