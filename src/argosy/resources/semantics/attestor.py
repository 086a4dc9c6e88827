"""Attestor: in the root namespace, of a name that nothing else speaks under, with the settings of its type alone, and
never one that would believe everybody."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from argosy.resources.identity import (
    BUILT_IN,
    RESERVED,
    Attestor,
    AttestorSpec,
    JwtAttestor,
    KubernetesAttestor,
    X509Attestor,
)
from argosy.resources.semantics import names
from argosy.resources.semantics.findings import Findings
from argosy.resources.semantics.identity_registration import ROOT_NAMESPACE

_KEY = re.compile(r"[a-z0-9][-a-z0-9_]{0,62}")
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


def check(obj: Attestor, findings: Findings) -> None:
    meta, spec = obj.metadata, obj.spec
    if meta.namespace not in ("", ROOT_NAMESPACE):
        findings.error(
            "metadata.namespace",
            f"an Attestor holds for the whole mesh, and stands in {ROOT_NAMESPACE}, not in {meta.namespace}",
        )
    if meta.name in RESERVED:
        findings.error(
            "metadata.name", f"{meta.name} is what the servers themselves find proven; choose another name"
        )
    _check_settings(spec, findings)
    if spec.jwt is not None:
        _check_jwt(spec.jwt, findings)
    if spec.kubernetes is not None:
        _check_kubernetes(spec.kubernetes, findings)
    if spec.x509 is not None:
        _check_x509(spec.x509, findings)


def _check_settings(spec: AttestorSpec, findings: Findings) -> None:
    given = {"jwt": spec.jwt, "kubernetes": spec.kubernetes, "x509": spec.x509}
    for name, settings in given.items():
        if name == spec.type and settings is None:
            findings.error(f"spec.{name}", f"is missing; an attestor of type {name} needs it")
        if name != spec.type and settings is not None:
            findings.error(
                f"spec.{name}", f"does not belong to an attestor of type {names.shown(spec.type)}; remove it"
            )
    if not spec.type:
        findings.error("spec.type", f"is empty; use {', '.join(BUILT_IN)} or the name of a plugin")
    if spec.type in BUILT_IN and spec.parameters:
        findings.error("spec.parameters", f"is for plugins; say it in spec.{spec.type}")


def _check_jwt(jwt: JwtAttestor, findings: Findings) -> None:
    if not jwt.issuer:
        findings.error("spec.jwt.issuer", "is empty; give what the claim iss is")
    _check_audiences("spec.jwt.audiences", jwt.audiences, findings)
    findings.at_most_one("spec.jwt", {"jwks": jwt.jwks or None, "jwksUri": jwt.jwks_uri or None})
    if jwt.jwks:
        findings.error("spec.jwt.jwks", jwks_problem(jwt.jwks))
    elif jwt.jwks_uri:
        findings.error("spec.jwt.jwksUri", _url_problem(jwt.jwks_uri))
    elif jwt.issuer:
        findings.error(
            "spec.jwt.issuer",
            _url_problem(jwt.issuer)
            and "is no https:// URL, so its keys are not found; give jwks or jwksUri",
        )
    if jwt.ca_bundle:
        findings.error("spec.jwt.caBundle", _authorities_problem(jwt.ca_bundle))
    seen: set[str] = {"iss", "sub", "aud"}
    for i, one in enumerate(jwt.claims):
        field = f"spec.jwt.claims[{i}]"
        if not one.claim or len(one.claim) > 253:
            findings.error(f"{field}.claim", "is empty or longer than 253; give the name of a claim")
        key = one.key or one.claim
        if one.key and not _KEY.fullmatch(one.key):
            findings.error(
                f"{field}.key", f"{names.shown(one.key)} is not a key; use a-z, 0-9, - and _, 63 at the most"
            )
        if key in seen:
            findings.error(f"{field}.key", f"{names.shown(key)} stands for another claim; give another key")
        seen.add(key)


def _check_kubernetes(kubernetes: KubernetesAttestor, findings: Findings) -> None:
    field = "spec.kubernetes"
    _check_audiences(f"{field}.audiences", kubernetes.audiences, findings)
    if bool(kubernetes.server) == bool(kubernetes.jwks):
        findings.error(field, "needs exactly one of server (TokenReview) and jwks (nobody is asked)")
    if kubernetes.server:
        findings.error(f"{field}.server", _url_problem(kubernetes.server))
        if not kubernetes.credential_name:
            findings.error(
                f"{field}.credentialName", "is empty; name the Secret with the token for TokenReviews"
            )
    if kubernetes.jwks:
        findings.error(f"{field}.jwks", jwks_problem(kubernetes.jwks))
        if not kubernetes.issuer:
            findings.error(f"{field}.issuer", "is empty; give the issuer of the cluster's tokens")
    if kubernetes.ca_bundle:
        findings.error(f"{field}.caBundle", _authorities_problem(kubernetes.ca_bundle))


def _check_x509(x509: X509Attestor, findings: Findings) -> None:
    findings.error("spec.x509.roots", _authorities_problem(x509.roots))


def _check_audiences(field: str, audiences: tuple[str, ...], findings: Findings) -> None:
    if not audiences or not all(audiences):
        findings.error(
            field, "is empty; name an audience: a token that was made for others must prove nothing here"
        )


def _url_problem(text: str) -> str | None:
    """Keys and reviews come over TLS, or from this host."""
    try:
        url = urlsplit(text)
        local = url.hostname in ("127.0.0.1", "localhost", "::1")
    except ValueError:
        return f"{names.shown(text)} is not a URL"
    if url.scheme != "https" and not (url.scheme == "http" and local):
        return f"{names.shown(text)} is no https:// URL: whoever is in between could give keys of their own"
    if not url.hostname or url.username:
        return f"{names.shown(text)} is not of the form https://HOST/PATH"
    return None


def _authorities_problem(text: str) -> str | None:
    return None if _CERTIFICATE in text else f"has no certificate in PEM ({_CERTIFICATE}…)"


def jwks_problem(text: str) -> str | None:
    try:
        keys = json.loads(text)["keys"]
        public = isinstance(keys, list) and all(isinstance(key, dict) and "kty" in key for key in keys)
    except (ValueError, KeyError, TypeError, RecursionError):
        public, keys = False, []
    if not public or not keys:
        return 'is no JSON Web Key Set with keys: {"keys": [{"kty": …}]}'
    if any("d" in key or key["kty"] == "oct" for key in keys):
        return "holds a private or shared key; give the public keys alone"
    return None
