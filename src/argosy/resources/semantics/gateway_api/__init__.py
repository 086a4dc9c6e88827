"""Rules of the Gateway API: what its definitions say in CEL, per kind.

# Gateway API: XValidation markers of apis/v1
"""
