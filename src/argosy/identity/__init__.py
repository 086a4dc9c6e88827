"""Who a workload is: the certificate authority, the proof of identity on one host, and the agent's side of both.

Rule of the room: a CSR is signed for no identity but the one proven, and of a CSR only the public key is used. The room
knows no store: what decides comes in as plain values.
"""
