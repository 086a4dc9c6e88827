"""Secret: keys are file names, values base64; what its type promises is there. No message shows a value.

# Kubernetes: ValidateSecret, ValidateSecretUpdate
"""

from __future__ import annotations

import base64

import msgspec

from argosy.resources.core import Secret
from argosy.resources.semantics import data
from argosy.resources.semantics.findings import Findings

_NEEDED = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
}
_JSON = (".dockercfg", ".dockerconfigjson")
_BASIC = "kubernetes.io/basic-auth"
_OF_ACCOUNT = "kubernetes.io/service-account-token"
_ACCOUNT = "kubernetes.io/service-account.name"


def check(obj: Secret, findings: Findings) -> None:
    data.check_keys("data", obj.data, findings)
    data.check_keys("stringData", obj.string_data, findings)
    values: dict[str, bytes] = {}
    for key, value in obj.data.items():
        try:
            values[key] = base64.b64decode("".join(value.split()), validate=True)
        except ValueError:
            findings.error(f"data[{key!r}]", "is not base64; encode it, or use stringData")
    values |= {key: value.encode() for key, value in obj.string_data.items()}
    data.check_size(sum(map(len, values.values())), findings)
    for key in _NEEDED.get(obj.type, ()):
        if key not in values and key not in obj.data:
            findings.error(f"data[{key!r}]", f"is missing, which type {obj.type} needs; give it")
        elif key in _JSON and not _is_json(values.get(key, b"{}")):
            findings.error(f"data[{key!r}]", "is not JSON; write the registry's credentials as JSON")
    if obj.type == _BASIC and not {"username", "password"} & values.keys():
        findings.error("data['username']", f"is missing, and so is password; type {_BASIC} needs one of them")
    if obj.type == _OF_ACCOUNT and not obj.metadata.annotations.get(_ACCOUNT):
        findings.error(
            f"metadata.annotations[{_ACCOUNT!r}]",
            f"is missing, which type {_OF_ACCOUNT} needs; name the account",
        )


def check_change(old: Secret, new: Secret, findings: Findings) -> None:
    if old.type != new.type:
        findings.error(
            "type", f"cannot be changed from {old.type} to {new.type}; delete the Secret and create another"
        )
    data.check_immutable(old.immutable, new.immutable, {"data": (_values(old), _values(new))}, findings)


def _values(obj: Secret) -> dict[str, str]:
    plain = {key: base64.b64encode(value.encode()).decode() for key, value in obj.string_data.items()}
    return {key: "".join(value.split()) for key, value in (obj.data | plain).items()}


def _is_json(value: bytes) -> bool:
    try:
        msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeError):
        return False
    return True
