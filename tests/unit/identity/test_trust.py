"""The steps from one root to another: what follows what, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.identity import issuer as issuers
from argosy.identity import trust as trusts
from argosy.identity.authority import Authority, open_authority
from argosy.identity.client import new_key_and_csr
from argosy.identity.issuer import Issuer
from argosy.identity.names import Identity
from argosy.identity.trust import Phase, Trust, WrongStep, fingerprint
from argosy.runtime.certificates import BadRequest, pem
from argosy.runtime.errors import Failure

NOW = 1_800_000_000.0
WHO = Identity(trust_domain="td", namespace="shop", service_account="reviews", workload="w")


def root() -> str:
    return pem(issuers.new_root("td", NOW)[0])


def beginning(old: str) -> Trust:
    return Trust(root=trusts.fingerprints(old)[0], trust_domain="td", server="s", roots=(old,))


def test_from_one_root_to_another() -> None:
    old, new = root(), root()
    before, after = trusts.fingerprints(old)[0], trusts.fingerprints(new)[0]
    mesh = beginning(old)
    assert mesh.issues == before
    mesh = trusts.begin(mesh, old, new, NOW)
    assert (mesh.root, mesh.issues, mesh.roots, mesh.version) == (before, before, (old, new), 1)
    mesh = trusts.issue(mesh, NOW + 5)
    assert (mesh.root, mesh.issues, mesh.roots, mesh.version) == (before, after, (old, new), 2)
    assert mesh.rotation is not None
    assert (mesh.rotation.begun, mesh.rotation.since) == (NOW, NOW + 5)
    mesh = trusts.drop(mesh)
    assert (mesh.root, mesh.issues, mesh.roots, mesh.rotation) == (after, after, (new,), None)
    assert mesh.retired == (before,)
    with pytest.raises(WrongStep, match="dropped before"):
        trusts.begin(mesh, new, old, NOW)


def test_it_is_given_up_only_before_anything_is_issued_below_the_new_root() -> None:
    old, new = root(), root()
    begun = trusts.begin(beginning(old), old, new, NOW)
    given_up = trusts.abort(begun)
    assert (given_up.roots, given_up.rotation, given_up.version) == ((old,), None, 2)
    with pytest.raises(WrongStep, match="phase issue"):
        trusts.abort(trusts.issue(begun, NOW))


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda mesh: trusts.issue(mesh, NOW), "no rotation is under way"),
        (trusts.drop, "no rotation is under way"),
        (trusts.abort, "no rotation is under way"),
    ],
)
def test_a_step_that_does_not_follow_is_refused(step: Callable[[Trust], Trust], says: str) -> None:
    with pytest.raises(WrongStep, match=says):
        step(beginning(root()))


def test_steps_are_taken_in_order() -> None:
    old = root()
    begun = trusts.begin(beginning(old), old, root(), NOW)
    with pytest.raises(WrongStep, match="phase trust"):
        trusts.drop(begun)
    with pytest.raises(WrongStep, match="under way already"):
        trusts.begin(begun, old, root(), NOW)
    with pytest.raises(WrongStep, match="root of the mesh already"):
        trusts.begin(beginning(old), old, old, NOW)


def _no_roots() -> dict[str, tuple[str, str]]:
    first, key = issuers.new_root("td", NOW)
    below = issuers.below(first, key, NOW)
    short, _ = issuers.new_root("td", NOW, lifetime=60)
    return {
        "nothing": ("", "no certificate"),
        "two": (root() + root(), "2 certificates"),
        "an intermediate": (pem(below.issuing), "not signed by itself"),
        "expired": (pem(short), "expired on"),
        "endless": ("x" * (trusts.MOST_ROOTS_PEM + 1), "longer than"),
    }


@pytest.mark.parametrize("kind", ["nothing", "two", "an intermediate", "expired", "endless"])
def test_what_is_no_root_is_refused_with_the_reason(kind: str) -> None:
    text, says = _no_roots()[kind]
    with pytest.raises(ValueError, match=says):
        trusts.read_root(text, NOW + 3600)


@pytest.mark.parametrize(("bits", "taken"), [(1024, False), (2048, True)])
def test_a_root_of_rsa_is_as_long_as_it_must_be(bits: int, taken: bool) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa

    from argosy.runtime.certificates import at, authority_name

    key, name = rsa.generate_private_key(65537, bits), authority_name("elsewhere")
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(at(NOW))
        .not_valid_after(at(NOW + 3600))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    if taken:
        assert trusts.read_root(pem(made), NOW + 60) == made
        return
    with pytest.raises(ValueError, match="its key is weak"):
        trusts.read_root(pem(made), NOW + 60)


def test_a_root_that_begins_tomorrow_is_not_trusted_today() -> None:
    with pytest.raises(ValueError, match="not valid before"):
        trusts.read_root(pem(issuers.new_root("td", NOW + 86400)[0]), NOW)


# --- the authority while a root takes the place of another ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ca"


@pytest.fixture
def authority(folder: Path, clock: Callable[[], float]) -> Authority:
    return open_authority(folder, "td", clock=clock)


def next_issuer(folder: Path) -> Issuer:
    new, key = issuers.new_root("td", NOW)
    issuer = issuers.below(new, key, NOW)
    issuers.write_directory(folder / issuers.NEXT, issuer.files())
    return issuer


def test_what_is_issued_is_of_the_root_that_was_adopted_and_carries_all_roots(
    authority: Authority, folder: Path
) -> None:
    new = next_issuer(folder)
    authority.following = new
    authority.adopt((authority.base.root, new.root), authority.base, 1)
    before = authority.sign(new_key_and_csr()[1], WHO)
    authority.adopt((authority.base.root, new.root), new, 2)
    after = authority.sign(new_key_and_csr()[1], WHO)
    roots = list(x509.load_pem_x509_certificates(after.bundle.encode()))
    assert before.bundle == after.bundle
    assert (before.trust_version, after.trust_version) == (1, 2)
    assert trusts.root_of("".join(before.chain), roots) == authority.base.root
    assert trusts.root_of("".join(after.chain), roots) == new.root
    assert trusts.root_of("".join(after.chain), roots[:1]) is None
    assert set(authority.roots_held) == {authority.base.fingerprint, new.fingerprint}


def test_another_server_gets_an_issuing_certificate_below_the_root_that_it_names(
    authority: Authority, folder: Path
) -> None:
    authority.following = new = next_issuer(folder)
    csr = issuers.csr_of(ec.generate_private_key(ec.SECP256R1()))
    for root_, wanted in (("", authority.base.root), (new.fingerprint, new.root)):
        found = x509.load_pem_x509_certificate(authority.sign_issuing(csr, root_).encode())
        found.verify_directly_issued_by(wanted)
    with pytest.raises(BadRequest, match="does not hold the root"):
        authority.sign_issuing(csr, "0" * 64)


def test_the_next_folder_takes_the_place_whole(authority: Authority, folder: Path) -> None:
    new = next_issuer(folder)
    issuers.promote(folder)
    again = open_authority(folder, "td", clock=authority.clock)
    assert again.base.fingerprint == new.fingerprint
    assert {path.name for path in folder.iterdir()} == set(issuers.FILES)
    assert [path.name for path in folder.parent.iterdir()] == ["ca"], "the old keys are gone"


def test_a_promotion_that_was_killed_ends_at_the_next_start(authority: Authority, folder: Path) -> None:
    """Between its two renames there is no `ca`."""
    new = next_issuer(folder)
    promoted, retired = folder.with_name(".ca.promoted"), folder.with_name(".ca.retired")
    issuers.write_directory(promoted, new.files())
    folder.rename(retired)
    again = open_authority(folder, "td", clock=authority.clock)
    assert again.base.fingerprint == new.fingerprint
    assert [path.name for path in folder.parent.iterdir()] == ["ca"]


def test_a_promotion_that_was_killed_before_it_began_is_forgotten(authority: Authority, folder: Path) -> None:
    issuers.write_directory(folder.with_name(".ca.promoted"), next_issuer(folder).files())
    again = open_authority(folder, "td", clock=authority.clock)
    assert again.base.fingerprint == authority.base.fingerprint
    assert [path.name for path in folder.parent.iterdir()] == ["ca"]


# --- certificates that were signed elsewhere ---


def test_a_chain_of_several_leads_to_the_root() -> None:
    root_, root_key = issuers.new_root("td", NOW)
    middle_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    middle = _authority("middle", middle_key.public_key(), root_, root_key, 1)
    issuing = _authority("issuing", key.public_key(), middle, middle_key, 0)
    chain = issuers.checked_chain(pem(issuing) + pem(middle), root_, key, NOW)
    assert chain == (issuing, middle)
    assert issuers.checked_chain(pem(issuing) + pem(middle) + pem(root_), root_, key, NOW) == chain
    authority = Authority("td", Issuer(root=root_, chain=chain, key=key), clock=lambda: NOW)
    response = authority.sign(new_key_and_csr()[1], WHO)
    assert [x509.load_pem_x509_certificate(one.encode()) for one in response.chain[1:]] == [issuing, middle]
    with pytest.raises(BadRequest, match="not signed"):
        issuers.checked_chain(pem(issuing), root_, key, NOW)


def _authority(
    name: str,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    path_length: int | None,
    ca: bool = True,
) -> x509.Certificate:
    from cryptography.hazmat.primitives import hashes

    from argosy.runtime.certificates import at, authority_name, key_usage

    return (
        x509.CertificateBuilder()
        .subject_name(authority_name(name) if name else x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(at(NOW - 60))
        .not_valid_after(at(NOW + 3600))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), critical=True)
        .add_extension(key_usage(certify=ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def test_an_issuing_certificate_that_is_of_no_use_is_refused_with_the_reason() -> None:
    root_, root_key = issuers.new_root("td", NOW)
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    good = _authority("issuing", key.public_key(), root_, root_key, 0)
    cases = [
        (pem(good), other, NOW, "another key"),
        (pem(good), key, NOW + 7200, "not now"),
        (
            pem(_authority("leaf", key.public_key(), root_, root_key, None, ca=False)),
            key,
            NOW,
            "may not sign",
        ),
        (pem(good) * 7, key, NOW, "chain of 7"),
        (pem(_authority("", key.public_key(), root_, root_key, 0)), key, NOW, "no subject of its own"),
        ("garbage", key, NOW, "cannot be read"),
    ]
    for text, of, now, says in cases:
        with pytest.raises(BadRequest, match=says):
            issuers.checked_chain(text, root_, of, now)
    with pytest.raises(BadRequest, match="not signed by the root of the mesh"):
        issuers.checked_chain(pem(good), issuers.new_root("td", NOW)[0], key, NOW)


def test_without_its_root_key_an_authority_opens_where_it_is_marked_as_offline(
    authority: Authority, folder: Path
) -> None:
    (folder / "root.key").unlink()
    with pytest.raises(Failure, match=r"root\.key missing"):
        open_authority(folder, "td", clock=authority.clock)
    (folder / issuers.OFFLINE).write_bytes(b"{}")
    again = open_authority(folder, "td", clock=authority.clock)
    assert not again.holds_root
    assert again.sign(new_key_and_csr()[1], WHO).chain[1] == pem(authority.issuing)


def test_an_issuing_certificate_that_expired_is_named_with_the_way_back(
    authority: Authority, folder: Path
) -> None:
    key = (folder / "root.key").read_bytes()
    (folder / "root.key").unlink()
    (folder / issuers.OFFLINE).write_bytes(b"{}")
    end = authority.issuing.not_valid_after_utc.timestamp()
    with pytest.raises(Failure, match=r"issuing certificate .* expired") as failure:
        open_authority(folder, "td", clock=lambda: end + 1)
    assert "root.key" in failure.value.remedy
    (folder / "root.key").write_bytes(key)
    (folder / "root.key").chmod(0o600)
    back = open_authority(folder, "td", clock=lambda: end + 1)
    assert back.issuer.ends > end + 1, "it was renewed"


def test_an_authority_that_expires_while_it_runs_signs_nothing(authority: Authority) -> None:
    authority.clock = lambda: authority.issuer.ends + 1
    with pytest.raises(BadRequest, match="the authority of this server expired"):
        authority.sign(new_key_and_csr()[1], WHO)


def test_fingerprints_are_those_of_other_tools(authority: Authority) -> None:
    """As `openssl x509 -fingerprint -sha256` has it."""
    from cryptography.hazmat.primitives import hashes

    assert fingerprint(authority.root) == authority.root.fingerprint(hashes.SHA256()).hex()
    assert authority.base.fingerprint == trusts.fingerprints(authority.bundle)[0]
    assert Phase("trust") is Phase.TRUST
