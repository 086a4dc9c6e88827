"""The authority: what it signs, what it refuses to sign, and what it does about files that are broken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from argosy.identity.authority import Authority, open_authority
from argosy.identity.client import new_key_and_csr, svid
from argosy.identity.names import Identity, NotAnIdentity, dns_san, peer_of
from argosy.identity.protocol import SERVER_DNS_NAME
from argosy.runtime.certificates import BadRequest
from argosy.runtime.errors import Failure

REVIEWS = Identity(
    trust_domain="cluster.local",
    namespace="shop",
    service_account="reviews",
    workload="reviews-v1",
    app="reviews",
    version="v1",
)


def leaf_of(authority: Authority, csr: str, identity: Identity = REVIEWS, ttl: int = 0) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.sign(csr, identity, ttl).chain[0].encode())


def pem(csr: x509.CertificateSigningRequest) -> str:
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def test_a_certificate_names_the_identity_and_the_workload(authority: Authority) -> None:
    _, csr = new_key_and_csr()
    leaf = leaf_of(authority, csr)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://cluster.local/ns/shop/sa/reviews"
    ]
    assert names.get_values_for_type(x509.DNSName) == ["v1.reviews.reviews-v1.shop.workload.mesh"]
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    assert set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    }
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_what_is_written_into_a_certificate_is_read_back(authority: Authority) -> None:
    key, csr = new_key_and_csr()
    response = authority.sign(csr, REVIEWS)
    peer = svid(response, key).peer()
    assert peer.identity == REVIEWS
    assert (peer.not_before, peer.not_after) == (response.not_before, response.not_after)


def test_the_chain_verifies_up_to_the_root(authority: Authority, clock: Callable[[], float]) -> None:
    server = authority.server_certificate(["api.example.org", "192.0.2.7"])
    leaf, issuing = x509.load_pem_x509_certificates(server.chain.encode())
    store = verification.Store([authority.root])
    for name in (SERVER_DNS_NAME, "localhost", "api.example.org"):
        verifier = (
            verification.PolicyBuilder()
            .store(store)
            .time(datetime.fromtimestamp(clock(), UTC))
            .build_server_verifier(x509.DNSName(name))
        )
        assert verifier.verify(leaf, [issuing])[-1] == authority.root


def test_nothing_of_the_csr_but_its_key_is_used(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    asked = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admin")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(REVIEWS.spiffe_id)]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    leaf = leaf_of(authority, pem(asked))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [REVIEWS.spiffe_id]
    assert names.get_values_for_type(x509.DNSName) == [dns_san(REVIEWS)]
    assert not leaf.subject
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.public_key() == key.public_key()


@pytest.mark.parametrize(
    "other",
    [
        x509.UniformResourceIdentifier("spiffe://cluster.local/ns/istio-system/sa/argosy-server"),
        x509.UniformResourceIdentifier("spiffe://elsewhere/ns/shop/sa/reviews"),
        x509.DNSName(SERVER_DNS_NAME),
        x509.DNSName("v1.ratings.ratings-v1.shop.workload.mesh"),
        x509.RFC822Name("admin@example.org"),
    ],
)
def test_a_csr_that_names_somebody_else_is_refused(authority: Authority, other: x509.GeneralName) -> None:
    own = x509.UniformResourceIdentifier(REVIEWS.spiffe_id)
    forged = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([own, other]), critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    with pytest.raises(BadRequest, match="names somebody else"):
        authority.sign(pem(forged), REVIEWS)


def _weak_csrs() -> dict[str, str]:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    good = pem(builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()))
    lines = good.splitlines()
    other = pem(builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())).splitlines()
    return {
        "nothing": "",
        "no PEM": "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "RSA": pem(builder.sign(rsa.generate_private_key(65537, 2048), hashes.SHA256())),
        "Ed25519": pem(builder.sign(ed25519.Ed25519PrivateKey.generate(), None)),
        "P-224": pem(builder.sign(ec.generate_private_key(ec.SECP224R1()), hashes.SHA256())),
        "signed by another key": "\n".join([*lines[:-2], other[-2], lines[-1]]),
    }


@pytest.mark.parametrize("kind", ["nothing", "no PEM", "RSA", "Ed25519", "P-224", "signed by another key"])
def test_a_csr_that_is_broken_or_weak_is_refused(authority: Authority, kind: str) -> None:
    with pytest.raises(BadRequest):
        authority.sign(_weak_csrs()[kind], REVIEWS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("workload", "a.b"),
        ("workload", "Reviews"),
        ("workload", ""),
        ("workload", "a" * 64),
        ("namespace", "shop/sa/admin"),
        ("namespace", ""),
        ("service_account", "a/b"),
        ("service_account", ""),
        ("service_account", "a..b"),
        ("service_account", "reviews\n"),
    ],
)
def test_a_name_that_could_be_read_back_as_another_is_refused(
    authority: Authority, field: str, value: str
) -> None:
    _, csr = new_key_and_csr()
    parts = {"namespace": "shop", "service_account": "reviews", "workload": "reviews-v1", field: value}
    with pytest.raises(NotAnIdentity, match=field):
        authority.sign(csr, Identity(trust_domain="cluster.local", **parts))


@pytest.mark.parametrize(
    ("app", "version", "expected"),
    [
        ("", "", "unknown.unknown.w.n.workload.mesh"),
        ("my.app", "1.2.3", "1-2-3.my-app.w.n.workload.mesh"),
        ("a*b/", "_v1_", "v1.a-b.w.n.workload.mesh"),
        ("A" * 80, "v" * 80, f"{'v' * 46}.{'A' * 63}.w.n.workload.mesh"),
    ],
)
def test_labels_are_bent_into_dns_labels(app: str, version: str, expected: str) -> None:
    identity = Identity(
        trust_domain="t", namespace="n", service_account="s", workload="w", app=app, version=version
    )
    assert dns_san(identity) == expected


def test_the_longest_names_still_fit_into_a_dns_name() -> None:
    long = "a" * 63
    identity = Identity(
        trust_domain="t", namespace=long, service_account="s", workload=long, app=long, version=long
    )
    assert len(dns_san(identity)) <= 253


@pytest.mark.parametrize(
    ("default", "maximum", "asked", "lifetime"),
    [
        (172800, 0, 0, 172800),
        (172800, 0, 3600, 3600),
        (172800, 0, 999999999, 172800),
        (3600, 7200, 7200, 7200),
        (3600, 7200, 9000, 7200),
        (60, 0, 0, 60),
        (172800, 0, 1, 60),
    ],
)
def test_the_lifetime_is_what_was_asked_within_bounds(
    tmp_path: Path, clock: Callable[[], float], default: int, maximum: int, asked: int, lifetime: int
) -> None:
    authority = open_authority(tmp_path / "ca", "cluster.local", default, maximum, clock)
    response = authority.sign(new_key_and_csr()[1], REVIEWS, asked)
    assert response.not_after - clock() == lifetime
    assert response.renew_after - clock() == lifetime / 4
    assert response.not_before < clock()


def test_a_lifetime_below_a_minute_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="too short"):
        open_authority(tmp_path / "ca", "cluster.local", 59)


def test_the_authority_is_the_same_after_a_restart(authority: Authority, tmp_path: Path) -> None:
    again = open_authority(tmp_path / "state" / "ca", "cluster.local", clock=authority.clock)
    assert again.bundle == authority.bundle
    assert again.issuing == authority.issuing
    folder = tmp_path / "state" / "ca"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_an_issuing_certificate_near_its_end_is_renewed_by_the_same_root(
    authority: Authority, tmp_path: Path
) -> None:
    near = authority.issuing.not_valid_after_utc.timestamp() - 24 * 3600
    later = open_authority(tmp_path / "state" / "ca", "cluster.local", clock=lambda: near)
    assert later.bundle == authority.bundle
    assert later.issuing.not_valid_after_utc.timestamp() > near + 1000 * 24 * 3600
    response = later.sign(new_key_and_csr()[1], REVIEWS)
    assert response.not_after == int(near) + later.default_ttl


def test_a_leaf_never_outlives_its_issuer(tmp_path: Path, clock: Callable[[], float]) -> None:
    century = 100 * 365 * 24 * 3600
    authority = open_authority(tmp_path / "ca", "cluster.local", century, clock=clock)
    response = authority.sign(new_key_and_csr()[1], REVIEWS)
    assert response.not_after == authority.issuing.not_valid_after_utc.timestamp()


def test_an_empty_folder_becomes_an_authority(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    open_authority(tmp_path / "ca", "cluster.local")
    assert (tmp_path / "ca" / "root.key").exists()


def _break(folder: Path, how: str) -> None:
    match how:
        case "no root key":
            (folder / "root.key").unlink()
        case "garbage":
            (folder / "issuing.crt").write_text("garbage")
        case "cut":
            path = folder / "root.key"
            path.write_bytes(path.read_bytes()[:60])
        case "swapped keys":
            (folder / "root.key").write_bytes((folder / "issuing.key").read_bytes())
        case "foreign root":
            open_authority(folder.parent / "other", "cluster.local")
            for name in ("root.crt", "root.key"):
                (folder / name).write_bytes((folder.parent / "other" / name).read_bytes())
        case "readable":
            (folder / "root.key").chmod(0o640)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("no root key", "root.key missing"),
        ("garbage", "issuing.crt cannot be read"),
        ("cut", "root.key cannot be read"),
        ("swapped keys", "root.key is not the key of root.crt"),
        ("foreign root", "issuing.crt is not signed by root.crt"),
        ("readable", "can be read by others"),
    ],
)
def test_broken_files_are_named_with_a_remedy_and_left_as_they_are(
    tmp_path: Path, how: str, says: str
) -> None:
    folder = tmp_path / "ca"
    open_authority(folder, "cluster.local")
    _break(folder, how)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(Failure, match=says) as failure:
        open_authority(folder, "cluster.local")
    assert failure.value.remedy
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_expired_root_is_named(authority: Authority, tmp_path: Path) -> None:
    end = authority.root.not_valid_after_utc.timestamp()
    with pytest.raises(Failure, match=r"root\.crt expired"):
        open_authority(tmp_path / "state" / "ca", "cluster.local", clock=lambda: end + 1)


def test_a_clock_that_is_a_day_behind_is_told_with_the_remedy(authority: Authority, tmp_path: Path) -> None:
    behind = authority.clock() - 86400
    with pytest.raises(Failure, match="the clock of this host says") as failure:
        open_authority(tmp_path / "state" / "ca", "cluster.local", clock=lambda: behind)
    assert "timedatectl" in failure.value.remedy


def test_the_servers_own_certificate_is_no_workload(authority: Authority) -> None:
    with pytest.raises(NotAnIdentity):
        peer_of(authority.server_certificate().chain.encode())
