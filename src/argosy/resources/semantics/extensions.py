"""WasmPlugin and TrafficExtension: where code is, and what it gets.

# Istio: ValidateWasmPlugin, ValidateTrafficExtension, CRD rules
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from argosy.resources.extensions import EnvValueSource, TrafficExtension, VmConfig, WasmPlugin
from argosy.resources.semantics import attachment, names
from argosy.resources.semantics.findings import Findings

_UNESCAPED = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEMES = ("file", "http", "https", "oci")


def check(obj: WasmPlugin | TrafficExtension, findings: Findings) -> None:
    if isinstance(obj, WasmPlugin):
        attachment.check(obj.spec.selector, obj.spec.target_ref, obj.spec.target_refs, findings)
        _module("spec", obj.spec.url, obj.spec.vm_config, findings)
        return
    attachment.check(obj.spec.selector, None, obj.spec.target_refs, findings)
    if (obj.spec.wasm is None) == (obj.spec.lua is None):
        said = "has neither wasm nor lua; give one" if obj.spec.wasm is None else "has wasm and lua; keep one"
        findings.error("spec", f"{said} of them")
    if obj.spec.wasm is not None:
        _module("spec.wasm", obj.spec.wasm.url, obj.spec.wasm.vm_config, findings)


def _location(url: str) -> str | None:
    """A URL, or without a scheme the name of an OCI image."""
    scheme, mark, rest = url.partition("://")
    if mark and (scheme not in _SCHEMES or not rest):
        said = f"begin it with {', '.join(_SCHEMES)} and ://"
        return f"{names.shown(url)} is not a location of a module; {said}"
    if any(character.isspace() for character in url):
        return f"{names.shown(url)} has a space in it; remove it"
    try:
        right = urlsplit(url if mark else f"http://{url}").port != 0 and not _UNESCAPED.search(url)
    except ValueError:  # no port, no address
        right = False
    return (
        None
        if right
        else f"{names.shown(url)} is not a location of a module; correct its host, port or escapes"
    )


def _module(path: str, url: str, vm: VmConfig | None, findings: Findings) -> None:
    findings.error(f"{path}.url", _location(url))
    seen: set[str] = set()
    for index, variable in enumerate(vm.env if vm is not None else ()):
        at = f"{path}.vmConfig.env[{index}]"
        if variable.name in seen:
            findings.error(f"{at}.name", f"{names.shown(variable.name)} is there twice; keep one")
        seen.add(variable.name)
        if variable.value_from != EnvValueSource.INLINE and variable.value:
            findings.error(
                f"{at}.value", f"is only for valueFrom INLINE, not for {variable.value_from}; remove it"
            )
