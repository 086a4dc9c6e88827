"""What a Secret holds for TLS, and what is wrong with those that cannot be used."""

from __future__ import annotations

import time

import pytest

from argosy.model import credentials
from argosy.model.credentials import Authorities, KeyPair, Unusable
from argosy.model.ir import Pairs
from tests.unit.pki import Authority, encoded

ROOT = Authority()
ONE, OTHER = ROOT.issue("one.example"), ROOT.issue("other.example")
Secrets = dict[str, dict[str, str]]


def data_of(secrets: Secrets) -> credentials.Data:
    def data(name: str) -> Pairs | None:
        held = secrets.get(name)
        return None if held is None else tuple(sorted(held.items()))

    return data


@pytest.mark.parametrize(
    "held",
    [
        encoded(tls_crt=ONE.certificate, tls_key=ONE.key),
        encoded(cert=ONE.certificate, key=ONE.key),
        encoded(tls_crt=ONE.certificate, tls_key=ONE.key, cert=OTHER.certificate, key=OTHER.key),
    ],
)
def test_a_certificate_and_its_key(held: dict[str, str]) -> None:
    assert credentials.key_pair("n/a", data_of({"n/a": held})) == KeyPair(ONE.certificate, ONE.key)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (None, "there is no Secret n/a; create it"),
        ({}, "Secret n/a has no tls.crt and tls.key (or cert and key); put them into its data"),
        (encoded(tls_crt=ONE.certificate), "Secret n/a has no tls.crt and tls.key"),
        (encoded(tls_crt=b"x", tls_key=ONE.key), "Secret n/a: tls.crt is not a certificate in PEM"),
        (encoded(tls_crt=ONE.key, tls_key=ONE.key), "Secret n/a: tls.crt is not a certificate in PEM"),
        (encoded(tls_crt=ONE.certificate, tls_key=b"x"), "Secret n/a: tls.key is not a private key in PEM"),
        (
            encoded(tls_crt=ONE.certificate, tls_key=OTHER.key),
            "Secret n/a: tls.key is not the key of tls.crt; put the two that belong together",
        ),
        ({"cert": "%", "key": ""}, "Secret n/a: cert is not base64"),
    ],
)
def test_what_is_wrong_names_the_secret_and_the_remedy(held: dict[str, str] | None, message: str) -> None:
    with pytest.raises(Unusable) as raised:
        credentials.key_pair("n/a", data_of({} if held is None else {"n/a": held}))
    assert str(raised.value).startswith(message)
    assert "BEGIN" not in str(raised.value)


REVOKED = ROOT.revoked(OTHER)


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        ({"n/a": encoded(ca_crt=ROOT.certificate)}, Authorities(ROOT.certificate)),
        ({"n/a": encoded(cacert=ROOT.certificate)}, Authorities(ROOT.certificate)),
        (
            {"n/a": encoded(ca_crt=b"x"), "n/a-cacert": encoded(cacert=ROOT.certificate)},
            Authorities(ROOT.certificate),
        ),
        (
            {"n/a": encoded(ca_crt=ROOT.certificate, ca_crl=REVOKED)},
            Authorities(ROOT.certificate, REVOKED),
        ),
        ({"n/a": encoded(ca_crt=ROOT.certificate, crl=REVOKED)}, Authorities(ROOT.certificate, REVOKED)),
    ],
)
def test_authorities_stand_beside_the_certificate_or_in_a_secret_of_their_own(
    secrets: Secrets, expected: Authorities
) -> None:
    assert credentials.authorities("n/a", data_of(secrets)) == expected


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        ({}, "there is no Secret n/a; create it"),
        ({"n/a": {}}, "Secret n/a has no ca.crt (or cacert); put the authorities into its data"),
        ({"n/a-cacert": {}}, "Secret n/a-cacert has no ca.crt (or cacert)"),
        ({"n/a": encoded(ca_crt=b"x")}, "Secret n/a: ca.crt is not a certificate in PEM"),
        (
            {"n/a": encoded(ca_crt=ROOT.certificate, ca_crl=b"x")},
            "Secret n/a: its list of revoked certificates is not PEM",
        ),
    ],
)
def test_authorities_that_cannot_be_used(secrets: Secrets, message: str) -> None:
    with pytest.raises(Unusable) as raised:
        credentials.authorities("n/a", data_of(secrets))
    assert str(raised.value).startswith(message)


def test_certificates_that_are_out_of_date() -> None:
    now = time.time()
    past = ROOT.issue("a", since=3, until=-1).certificate
    future = ROOT.issue("a", since=-1, until=3).certificate
    assert credentials.expired(ONE.certificate + ROOT.certificate, now) == ""
    assert credentials.expired(ONE.certificate + past, now).startswith("a certificate expired on ")
    assert credentials.expired(future, now).startswith("a certificate is not valid before ")
