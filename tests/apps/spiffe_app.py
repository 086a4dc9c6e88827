"""A program that uses its own identity through the independent client `spiffe`: spiffe_app.py WHAT [ARGUMENTS].

Each answer is a line of JSON. `all AUDIENCE`: certificate, bundles, token and its validation;
`jwt AUDIENCE [SPIFFE-ID]`; `validate AUDIENCE TOKEN`; `follow N`: the serials of N certificates, as they come; `wait`:
`all` for each audience that comes as a line of standard input.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from spiffe import SpiffeId, WorkloadApiClient

TIMEOUT = 15


def everything(client: WorkloadApiClient, audience: str) -> dict[str, Any]:
    svid = client.fetch_x509_svid(timeout=TIMEOUT)
    token = client.fetch_jwt_svid(audience={audience}, timeout=TIMEOUT)
    return {
        "x509": str(svid.spiffe_id),
        "chain": len(svid.cert_chain),
        "bundles": sorted(
            str(one.trust_domain) for one in client.fetch_x509_bundles(timeout=TIMEOUT).bundles
        ),
        "jwt": str(token.spiffe_id),
        "audience": sorted(token.audience),
        "token": token.token,
        "validated": str(client.validate_jwt_svid(token.token, audience, timeout=TIMEOUT).spiffe_id),
        "keys": [len(one.jwt_authorities) for one in client.fetch_jwt_bundles(timeout=TIMEOUT).bundles],
    }


def follow(client: WorkloadApiClient, count: int) -> list[str]:
    serials: list[str] = []
    enough = threading.Event()

    def came(context: Any) -> None:
        serials.append(f"{context.default_svid.leaf.serial_number:x}")
        if len(serials) >= count:
            enough.set()

    handle = client.stream_x509_contexts(came, lambda error: print(error, file=sys.stderr))
    enough.wait(120)
    handle.cancel()
    return serials


def main() -> None:
    what, *given = sys.argv[1:]
    client = WorkloadApiClient()
    try:
        match what:
            case "all":
                print(json.dumps(everything(client, given[0])), flush=True)
            case "jwt":
                subject = SpiffeId(given[1]) if len(given) > 1 else None
                token = client.fetch_jwt_svid(audience={given[0]}, subject=subject, timeout=TIMEOUT)
                print(json.dumps({"jwt": str(token.spiffe_id)}), flush=True)
            case "validate":
                print(
                    json.dumps(str(client.validate_jwt_svid(given[1], given[0], timeout=TIMEOUT).spiffe_id))
                )
            case "follow":
                print(json.dumps(follow(client, int(given[0]))), flush=True)
            case "wait":
                for line in sys.stdin:
                    try:
                        print(json.dumps(everything(client, line.strip())), flush=True)
                    except Exception as error:
                        print(json.dumps({"error": str(error)}), flush=True)
    except Exception as error:
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
