"""What each attestor takes for proven, and, a row for each, what it does not."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from argosy.identity.attestors import Plugin, Unproven, base, named, plugin
from argosy.identity.attestors.base import Settings
from argosy.identity.attestors.keys import Fetched
from argosy.identity.attestors.sources import TokenSource
from argosy.identity.attestors.tokens import LONGEST_TOKEN
from argosy.identity.attestors.x509 import X509Gatherer
from argosy.resources.identity import ClaimSelector, JwtAttestor, KubernetesAttestor, X509Attestor
from argosy.runtime.errors import Failure
from tests.unit.identity.attestor_lab import ISSUER, NOW, Issuer, Pki, pem_of, unsigned

GOOD, OTHER = Issuer(), Issuer()
RSA, WEAK = Issuer("rsa", "RS256"), Issuer("weak", "RS256", 1024)


def verifier(type: str, settings: Any, credential: str = "", now: float = NOW) -> base.Verifier:
    return plugin(type).verifier(
        Settings(name="a", settings=settings, credential=credential, clock=lambda: now)
    )


def jwt_attestor(**more: Any) -> JwtAttestor:
    return JwtAttestor(**({"issuer": ISSUER, "audiences": ("argosy",), "jwks": GOOD.jwks()} | more))


# --- tokens ---------------------------------------------------------------------------------------------------------


async def test_a_token_proves_its_claims_and_no_others() -> None:
    claims = (
        ClaimSelector(claim="nomad_job_id", key="job"),
        ClaimSelector(claim="groups"),
        ClaimSelector(claim="compute.vm.zone", key="zone"),
        ClaimSelector(claim="absent"),
        ClaimSelector(claim="compute", key="whole"),
    )
    token = GOOD.token(
        aud=["x", "argosy"], nomad_job_id="web", groups=["a", "b"], compute={"vm": {"zone": 7}}, secret="s"
    )
    found = await verifier("jwt", jwt_attestor(claims=claims)).verify(token, "")
    expected = [f"iss={ISSUER}", "sub=me", "aud=argosy", "job=web", "groups=a", "groups=b", "zone=7"]
    assert sorted(found) == sorted(expected)


async def test_keys_of_rsa_count_too() -> None:
    assert await verifier("jwt", jwt_attestor(jwks=RSA.jwks())).verify(RSA.token(), "")


HMAC = unsigned({"iss": ISSUER, "aud": "argosy", "exp": NOW + 9}, {"alg": "HS256", "kid": "one"})
NESTED = "[" * 3000 + "]" * 3000
REFUSED: list[tuple[str, str, str]] = [
    ("nothing", "", "three parts"),
    ("no token", "garbage", "three parts"),
    ("two parts", "a.b", "three parts"),
    ("an empty signature", unsigned({}, {"alg": "ES256"}, ""), "three parts"),
    ("a header that is no JSON", "aaaa.bbbb.cccc", "header"),
    ("a header of brackets", base64.urlsafe_b64encode(NESTED.encode()).decode() + ".a.b", "header"),
    ("a header that is a list", base64.urlsafe_b64encode(b"[1]").decode() + ".a.b", "no object"),
    ("a gigantic token", "a" * (LONGEST_TOKEN + 1), "longer"),
    ("a gigantic claim", GOOD.token(sub="x" * LONGEST_TOKEN), "longer"),
    ("alg none", unsigned({"iss": ISSUER}, {"alg": "none"}), "'none'"),
    ("alg None", unsigned({"iss": ISSUER}, {"alg": None}), "'None'"),
    ("HMAC by a public key", HMAC, "HS256"),
    ("a critical extension", GOOD.token({"crit": ["exp"]}), "critical"),
    ("another's key of that name", OTHER.token(), "signature"),
    ("a key that the issuer has not", GOOD.token({"kid": "two"}), "no key 'two'"),
    ("a key of another type", RSA.token({"kid": "one"}), "no key 'one'"),
    ("a signature of another token", GOOD.token()[:-86] + GOOD.token(sub="you")[-86:], "signature"),
    ("another issuer", GOOD.token(iss="https://other.example"), "the issuer"),
    ("no issuer", GOOD.token(iss=None), "the issuer"),
    ("another audience", GOOD.token(aud="somebody"), "is for somebody"),
    ("no audience", GOOD.token(aud=None), "nobody in particular"),
    ("an audience that is a number", GOOD.token(aud=[7]), "nobody in particular"),
    ("no end", GOOD.token(exp=None), "never ends"),
    ("ended", GOOD.token(exp=NOW - 61), "ended"),
    ("an end that is no time", GOOD.token(exp="tomorrow"), "no time"),
    ("an end that is true", GOOD.token(exp=True), "no time"),
    ("an end in infinity", GOOD.token(exp=float("inf")), "no time"),
    ("not yet", GOOD.token(nbf=NOW + 61), "begins"),
    ("issued tomorrow", GOOD.token(iat=NOW + 86400), "begins"),
]


@pytest.mark.parametrize(("token", "reason"), [pytest.param(t, r, id=i) for i, t, r in REFUSED])
async def test_a_token_proves_nothing_where(token: str, reason: str) -> None:
    with pytest.raises(Unproven, match=reason):
        await verifier("jwt", jwt_attestor()).verify(token, "")


async def test_a_weak_key_and_one_for_encryption_prove_nothing() -> None:
    with pytest.raises(Unproven, match="1024 bits"):
        await verifier("jwt", jwt_attestor(jwks=WEAK.jwks())).verify(WEAK.token(), "")
    with pytest.raises(Unproven, match="no key"):
        await verifier("jwt", jwt_attestor(jwks=GOOD.jwks(use="enc"))).verify(GOOD.token(), "")


@pytest.mark.parametrize("skew", [-59, 59])
async def test_clocks_may_differ_by_a_minute(skew: float) -> None:
    token = GOOD.token(exp=NOW + 0.5, iat=NOW, nbf=NOW)
    assert await verifier("jwt", jwt_attestor(), now=NOW + skew).verify(token, "")


def test_selectors_have_the_attestors_name_and_bounds() -> None:
    assert named("k8s", ["ns=shop", "ns=shop", "sa=", "x=a=b"]) == ("k8s:ns=shop", "k8s:x=a=b")
    for found, reason in (
        ([], "proves nothing"),
        (["a=" + "x" * 2000], "longer"),
        (["a=\n"], "printed"),
        ([f"a={i}" for i in range(65)], "65 things"),
    ):
        with pytest.raises(Unproven, match=reason):
            named("k8s", found)


# --- keys that are fetched --------------------------------------------------------------------------------------------


class Web:
    """A server of this host that answers with what is in `pages`."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, bytes]] = {}
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("content-length", 0))
                outer.bodies.append(self.rfile.read(length))
                outer.asked.append((self.path, self.headers.get("authorization", "")))
                status, body = outer.pages.get(self.path, (404, b""))
                self.send_response(status)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_: object) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def web() -> Iterator[Web]:
    running = Web()
    yield running
    running.server.shutdown()
    running.server.server_close()


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_keys_are_found_by_discovery_kept_and_looked_for_when_a_new_one_signs(web: Web) -> None:
    time = Time()
    discovery = {"issuer": web.url, "jwks_uri": f"{web.url}/keys"}
    web.pages = {
        "/.well-known/openid-configuration": (200, json.dumps(discovery).encode()),
        "/keys": (200, GOOD.jwks().encode()),
    }
    keys = Fetched(web.url, "", "", time)
    assert [key["kid"] for key in await keys.for_token(GOOD.token())] == ["one"]
    for _ in range(3):
        await keys.for_token(GOOD.token())
    assert len(web.asked) == 2
    new = Issuer("new")
    web.pages["/keys"] = (200, new.jwks().encode())
    assert [key["kid"] for key in await keys.for_token(new.token())] == ["one"]  # too soon to ask again
    time.now += 11
    assert [key["kid"] for key in await keys.for_token(new.token())] == ["new"]


@pytest.mark.parametrize(
    "answer",
    [
        (500, b""),
        (302, b""),
        (200, b"<html>"),
        (200, b'{"keys": []}'),
        (200, b"x" * 300_000),
        (200, b"[" * 90_000),
    ],
    ids=["fails", "redirects", "is a page", "has none", "is gigantic", "is brackets"],
)
async def test_the_keys_of_before_hold_while_the_issuer(web: Web, answer: tuple[int, bytes]) -> None:
    time = Time()
    web.pages = {"/keys": (200, GOOD.jwks().encode()), "/elsewhere": (200, OTHER.jwks().encode())}
    keys = Fetched(ISSUER, f"{web.url}/keys", "", time)
    assert await keys.for_token(GOOD.token())
    web.pages["/keys"] = answer
    time.now += 3600
    assert [key["x"] for key in await keys.for_token(GOOD.token())] == [GOOD.jwk()["x"]]
    time.now += 24 * 3600
    with pytest.raises(Unproven, match="cannot be fetched"):
        await keys.for_token(GOOD.token())


async def test_a_discovery_document_of_another_issuer_or_without_tls_counts_not(web: Web) -> None:
    for discovery in (
        {"issuer": "https://evil.example", "jwks_uri": f"{web.url}/keys"},
        {"issuer": web.url, "jwks_uri": "http://192.0.2.1/keys"},
    ):
        web.pages = {
            "/.well-known/openid-configuration": (200, json.dumps(discovery).encode()),
            "/keys": (200, GOOD.jwks().encode()),
        }
        with pytest.raises(Unproven):
            await Fetched(web.url, "", "", Time()).for_token(GOOD.token())


# --- Kubernetes -------------------------------------------------------------------------------------------------------

BOUND = {
    "namespace": "shop",
    "serviceaccount": {"name": "reviews", "uid": "1"},
    "pod": {"name": "reviews-1", "uid": "u"},
    "node": {"name": "n1"},
}


def pod_token(**more: Any) -> str:
    claims: dict[str, Any] = {"sub": "system:serviceaccount:shop:reviews", "kubernetes.io": BOUND}
    return GOOD.token(**(claims | more))


def offline() -> base.Verifier:
    return verifier("kubernetes", KubernetesAttestor(audiences=("argosy",), issuer=ISSUER, jwks=GOOD.jwks()))


async def test_a_service_account_token_is_judged_by_the_clusters_keys() -> None:
    expected = ["ns=shop", "sa=reviews", "pod=reviews-1", "pod-uid=u", "node=n1"]
    assert list(await offline().verify(pod_token(), "")) == expected
    assert list(await offline().verify(pod_token(**{"kubernetes.io": None}), "")) == expected[:2]


@pytest.mark.parametrize("user", ["", "admin", "system:serviceaccount:shop", "system:serviceaccount:a:b:c"])
async def test_who_is_no_service_account_proves_nothing(user: str) -> None:
    with pytest.raises(Unproven, match="no service account"):
        await offline().verify(pod_token(sub=user), "")


async def test_the_claims_of_a_pod_token_are_not_believed_without_their_signature() -> None:
    with pytest.raises(Unproven, match="signature"):
        await offline().verify(OTHER.token(sub="system:serviceaccount:shop:reviews"), "")


def status(**more: Any) -> bytes:
    good = {
        "authenticated": True,
        "audiences": ["argosy"],
        "user": {
            "username": "system:serviceaccount:shop:reviews",
            "extra": {"authentication.kubernetes.io/pod-name": ["reviews-1"], "other": ["x"]},
        },
    }
    return json.dumps({"status": good | more}).encode()


def reviewed(web: Web) -> base.Verifier:
    spec = KubernetesAttestor(audiences=("argosy",), server=web.url, credential_name="reviewer")
    return verifier("kubernetes", spec, credential="our-own")


async def test_the_cluster_is_asked_with_our_credential_and_its_answer_counts(web: Web) -> None:
    web.pages = {"/apis/authentication.k8s.io/v1/tokenreviews": (201, status())}
    found = await reviewed(web).verify(pod_token(), "")
    assert list(found) == ["ns=shop", "sa=reviews", "pod=reviews-1"]
    assert web.asked[-1][1] == "Bearer our-own"
    assert json.loads(web.bodies[-1])["spec"] == {"token": pod_token_of(web), "audiences": ["argosy"]}


def pod_token_of(web: Web) -> str:
    return str(json.loads(web.bodies[-1])["spec"]["token"])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((201, status(authenticated=False, error="expired")), "expired"),
        ((201, status(authenticated="yes")), "does not know"),
        ((201, status(audiences=["https://kubernetes"])), "for us"),
        ((201, status(audiences=None)), "for us"),  # a cluster that does not know audiences
        ((201, status(user={"username": "admin"})), "no service account"),
        ((201, status(user=None)), "whose"),
        ((201, b"[]"), "does not know"),
        ((201, b"{"), "not review"),
        ((403, b"{}"), "403"),
        ((302, b""), "302"),
        ((200, b"x" * 300_000), "more than"),
    ],
)
async def test_a_review_proves_nothing_where(web: Web, answer: tuple[int, bytes], reason: str) -> None:
    web.pages = {"/apis/authentication.k8s.io/v1/tokenreviews": answer}
    with pytest.raises(Unproven, match=reason):
        await reviewed(web).verify(pod_token(), "")


# --- certificates -----------------------------------------------------------------------------------------------------

PKI, STRANGERS = Pki(), Pki()


def files(folder: Path, certificate: str, key: Any) -> X509Gatherer:
    (folder / "c").write_text(certificate)
    (folder / "k").write_bytes(pem_of(key))
    return X509Gatherer({"cert": str(folder / "c"), "key": str(folder / "k")})


def of_pki() -> base.Verifier:
    return verifier("x509", X509Attestor(roots=PKI.pem))


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
async def test_a_certificate_and_its_key_prove_its_names(tmp_path: Path, kind: str) -> None:
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else None
    proof = await files(tmp_path, *PKI.leaf("db-1", key=key)).gather("nonce-1")
    found = list(await of_pki().verify(proof, "nonce-1"))
    assert found[:2] == ["cn=db-1", "o=Shop"]
    assert {"issuer-cn=Company Root", "serial=abc", "dns=db-1.example"} <= set(found)


def _weak() -> tuple[str, Any]:
    return PKI.leaf("db-1", key=rsa.generate_private_key(65537, 1024))


@pytest.mark.parametrize(
    ("make", "nonce", "reason"),
    [
        (lambda: PKI.leaf("db-1"), "nonce-2", "not signed by the key"),
        (lambda: (PKI.leaf("db-1")[0], PKI.leaf("db-1")[1]), "nonce-1", "not signed by the key"),
        (lambda: STRANGERS.leaf("db-1"), "nonce-1", "authorities"),
        (lambda: PKI.leaf("db-1", ends=NOW - 1), "nonce-1", "authorities"),
        (lambda: PKI.leaf("db-1", begins=NOW + 100), "nonce-1", "authorities"),
        (lambda: PKI.leaf("db-1", sign=False), "nonce-1", "signatures|authorities"),
        (lambda: (PKI.pem, PKI.key), "nonce-1", "authorit|signatures"),
        (_weak, "nonce-1", "weak|authorities"),
        (lambda: (PKI.leaf("db-1")[0] * 6, PKI.leaf("db-1")[1]), "nonce-1", "6 certificates"),
    ],
    ids=[
        "another challenge",
        "another key",
        "another authority",
        "ended",
        "not yet",
        "not for signatures",
        "the authority itself",
        "a weak key",
        "a long chain",
    ],
)
async def test_a_certificate_proves_nothing_with(
    tmp_path: Path, make: Callable[[], tuple[str, Any]], nonce: str, reason: str
) -> None:
    proof = await files(tmp_path, *make()).gather("nonce-1")
    with pytest.raises(Unproven, match=reason):
        await of_pki().verify(proof, nonce)


@pytest.mark.parametrize("proof", ["", "{}", "[]", '{"chain": "x", "signature": "y"}', "[" * 9000])
async def test_what_is_no_certificate_proves_nothing(proof: str) -> None:
    with pytest.raises(Unproven, match="no certificate"):
        await of_pki().verify(proof, "n")


# --- the agent's half, and plugins ------------------------------------------------------------------------------------


async def test_a_token_is_read_anew_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = TokenSource({"file": str(tmp_path / "t")})
    for text in ("one\n", "two"):
        (tmp_path / "t").write_text(text)
        assert await source.gather("") == text.strip()
    monkeypatch.setenv("PLATFORM_TOKEN", "three")
    assert await TokenSource({"env": "PLATFORM_TOKEN"}).gather("") == "three"


async def test_a_token_may_come_from_the_platforms_service(web: Web) -> None:
    web.pages = {"/identity": (200, b"tok")}
    source = TokenSource({"url": f"{web.url}/identity", "header": "Authorization: Flavor"})
    assert await source.gather("") == "tok"
    assert web.asked == [("/identity", "Flavor")]


@pytest.mark.parametrize(
    ("parameters", "says"), [({}, "not said"), ({"file": "a", "env": "b"}, "not said"), ({"fil": "a"}, "fil")]
)
def test_parameters_that_are_of_no_use_are_told(parameters: dict[str, str], says: str) -> None:
    with pytest.raises(Failure, match=says):
        TokenSource(parameters)


async def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="No such file"):
        await TokenSource({"file": str(tmp_path / "none")}).gather("")
    with pytest.raises(Failure, match="no token"):
        await TokenSource({"env": "NOT_SET_ANYWHERE"}).gather("")


class Entry:
    name = "tpm"

    def load(self) -> Plugin:
        return OWN


class Own:
    async def verify(self, proof: str, nonce: str) -> list[str]:
        return [f"ek={proof}"]


OWN = Plugin(verifier=lambda of: Own(), gatherer=lambda given: TokenSource(given))


async def test_a_package_adds_an_attestor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "entry_points", lambda group: [Entry()] if group == "argosy.attestors" else [])
    assert named("tpm", await verifier("tpm", {}).verify("abc", "")) == ("tpm:ek=abc",)
    with pytest.raises(Failure, match="no attestor of type 'tmp'") as raised:
        plugin("tmp")
    assert "jwt, kubernetes, x509, tpm" in raised.value.remedy
