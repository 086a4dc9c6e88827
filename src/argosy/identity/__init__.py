"""The authority: keys, attestation, SPIFFE identities and their certificates."""
