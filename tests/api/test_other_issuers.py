"""Tokens as other issuers make them: their types, and where they put permissions and roles"""
import time

import jwt
import pytest

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.payments import NOBODY
from ..support.tokens import PERMISSIONS, SECRET, make_token

pytestmark = on_one_engine

ROLES = '{"cashier": ["payments_read"], "manager": ["payments_read", "payments_delete"], "head waiter": []}'
TEN_YEARS = 10 * 366 * 24 * 3600


def get(app, **token):
    return client_of(app, make_token(**token)).get("/payments").status_code


def granted(app, **token):
    """Return which of two operations a token grants."""
    client = client_of(app, make_token(**{"permissions": None} | token))
    reads = client.get("/payments").status_code
    deletes = client.delete(f"/payments/{NOBODY}").status_code
    assert (reads, deletes) in [(204, 404), (204, 403), (403, 404), (403, 403)]
    return [name for name, code in (("read", reads), ("delete", deletes)) if code != 403]


# Types of tokens


@pytest.mark.parametrize("claim", ["type", "token_type", "token_use", "typ", "tokenType", "tokenUse", "purpose"])
def test_a_token_of_another_type_is_rejected(app, claim):
    for value in ("refresh", "Refresh", "id", "ID", "Offline", "password_reset", "logout+jwt", "", "access ", 1, True):
        assert get(app, **{claim: value}) == 401, value
    for value in (["access"], {"access": True}):
        assert get(app, **{claim: value}) == 401, value


@pytest.mark.parametrize("claim", ["type", "token_type", "token_use", "typ"])
def test_a_token_of_the_type_access_is_accepted(app, claim):
    for value in ("access", "Bearer", "bearer", "JWT", "at+jwt", "application/at+jwt", "AT+JWT"):
        assert get(app, **{claim: value}) == 204, value
    assert get(app, null=[claim]) == 204


def test_the_type_in_the_header_is_checked(app):
    for value in ("JWT", "jwt", "at+jwt", "application/at+jwt", None):
        assert get(app, headers={"typ": value}) == 204, value
    for value in ("refresh", "id+jwt", "dpop+jwt", "logout+jwt", "JOSE", "application/json", 5, ["JWT"]):
        assert get(app, headers={"typ": value}) == 401, value


def test_a_required_claim_must_have_its_value(make_app):
    app = make_app(JWT_REQUIRED_CLAIM="token_use=access")
    assert get(app, token_use="access") == 204
    for claims in ({}, {"token_use": "Bearer"}, {"token_use": ["bearer"]}, {"null": ["token_use"]}):
        assert get(app, **claims) == 401, claims


@pytest.mark.parametrize(
    ("required", "accepted", "rejected"),
    [
        ("purpose=access", {"purpose": "access"}, {}),
        ("client.id=till=1", {"client": {"id": "till=1"}}, {"client": {"id": "till"}}),
        ("groups=tills", {"groups": ["a", "tills"]}, {"groups": ["tills 2"]}),
        ("scope=pos", {"scope": "openid pos"}, {"scope": "openid position"}),
        ("group=a b", {"group": "a b"}, {"group": "a"}),
        ("group=a", {"group": "a"}, {"group": "a b"}),
        ("email_verified=true", {"email_verified": True}, {"email_verified": False}),
        ("tenant=7", {"tenant": 7}, {"tenant": 70}),
        ("tenant=null", {"tenant": "null"}, {"null": ["tenant"]}),
        ("typ=at+jwt", {"headers": {"typ": "at+jwt"}}, {"headers": {"typ": "JWT"}}),
        ("typ=Bearer", {"typ": "Bearer"}, {"headers": {"typ": "at+jwt"}}),
    ],
)
def test_a_required_claim_may_be_of_many_kinds(make_app, required, accepted, rejected):
    app = make_app(JWT_REQUIRED_CLAIM=required)
    assert get(app, **accepted) == 204
    assert get(app, **rejected) == 401
    assert get(app) == 401


def test_a_token_for_more_than_ten_years_is_rejected(app):
    now = int(time.time())
    assert get(app, exp=now + TEN_YEARS - 3600) == 204
    for exp in (now + TEN_YEARS + 3600, (now + 60) * 1000, 2**63, 10**400, 10**30):
        assert get(app, exp=exp) == 401, exp


# Claims that are null


@pytest.mark.parametrize(
    "claim",
    """role scope type typ token_use token_type purpose iat nbf aud iss sub userId jti realm""".split(),
)
def test_a_claim_that_is_null_counts_as_absent(app, claim):
    assert get(app, null=[claim]) == 204


def test_without_permissions_a_token_is_good_but_gets_403(app):
    assert get(app, null=["permissions"]) == 403
    assert get(app, null=["permissions", "role"]) == 403


@pytest.mark.parametrize(("setting", "claim"), [("JWT_ISSUER", "iss"), ("JWT_AUDIENCE", "aud")])
def test_a_claim_that_must_be_there_must_not_be_null(make_app, setting, claim):
    app = make_app(**{setting: "payments"})
    assert get(app, **{claim: "payments"}) == 204
    assert get(app, null=[claim]) == 401
    assert get(app, null=["exp"]) == 401


def test_a_null_user_falls_back_to_the_subject(app):
    client = client_of(app, make_token(null=["userId"], sub="ana"))
    payment_id = client.post(
        "/payments",
        json={
            "method_id": "01950000-0000-7000-8000-000000000001",
            "currency_id": "01950000-0000-7000-8000-000000000101",
            "amount": 1,
        },
    ).json["id"]
    assert client.get(f"/payments/{payment_id}/history").json[0]["user_id"] == "ana"


# Roles and permissions


def test_a_role_may_be_a_list(make_app):
    app = make_app(ROLE_PERMISSIONS=ROLES)
    assert granted(app, role=["cashier"]) == ["read"]
    assert granted(app, role=["head waiter", "manager"]) == ["read", "delete"]
    assert granted(app, role=["unknown"]) == granted(app, role=[]) == granted(app, role=["Cashier"]) == []
    assert granted(app, role="manager") == ["read", "delete"]
    for role in ([1], ["cashier", None], {"cashier": True}, True):
        assert get(app, role=role) == 401, role


def test_the_words_of_a_role_are_no_roles(make_app):
    assert granted(make_app(ROLE_PERMISSIONS=ROLES), role="not manager") == []


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["offline_access", "payments_read"]}}),
        ("resource_access.pos.example.roles", {"resource_access": {"pos.example": {"roles": ["payments_read"]}}}),
        ("https://pos.example/permissions", {"https://pos.example/permissions": ["payments_read"]}),
        ("cognito:groups", {"cognito:groups": ["payments_read"]}),
        ("scope", {"scope": "openid  payments_read profile"}),
        ("scope", {"scope": ["openid", "payments_read"]}),
        ("scp", {"scp": "payments_read"}),
        ("app_metadata.permissions", {"app_metadata": {"permissions": "payments_read other"}}),
        ("a.b.c", {"a.b": {"c": ["payments_read"]}}),
        ("a.b.c", {"a": {"b.c": ["payments_read"]}}),
    ],
)
def test_permissions_are_read_from_the_claim_that_is_set(make_app, claim, claims):
    app = make_app(JWT_PERMISSIONS_CLAIM=claim)
    assert granted(app, **claims) == ["read"]
    assert granted(app, permissions=PERMISSIONS) == []


@pytest.mark.parametrize(
    "claims",
    [{}, {"realm_access": None}, {"realm_access": {}}, {"realm_access": {"roles": None}}, {"realm_access": ["roles"]},
     {"realm_access": "roles"}, {"realm_access": {"roles": []}}, {"roles": ["payments_read"]}],
    ids=str,
)
def test_a_claim_that_is_not_there_grants_nothing(make_app, claims):
    app = make_app(JWT_PERMISSIONS_CLAIM="realm_access.roles", JWT_ROLE_CLAIM="realm_access.roles")
    assert granted(app, **claims) == []


@pytest.mark.parametrize("value", [5, {"payments_read": True}, [["payments_read"]], [1], True], ids=str)
def test_permissions_of_another_type_are_rejected(make_app, value):
    app = make_app(JWT_PERMISSIONS_CLAIM="realm_access.roles")
    assert get(app, realm_access={"roles": value}) == 401


@pytest.mark.parametrize(
    ("claim", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["uma_authorization", "manager"]}}),
        ("roles", {"roles": ["manager"]}),
        ("app_metadata.role", {"app_metadata": {"role": "manager"}}),
        ("https://pos.example/roles", {"https://pos.example/roles": ["manager"]}),
        ("scope", {"scope": "openid manager"}),
        ("cognito:groups", {"cognito:groups": ["manager"]}),
    ],
)
def test_roles_are_read_from_the_claim_that_is_set(make_app, claim, claims):
    app = make_app(JWT_ROLE_CLAIM=claim, ROLE_PERMISSIONS=ROLES)
    assert granted(app, **claims) == ["read", "delete"]
    assert granted(app, role="manager") == []


def test_a_wallet_token_is_rejected_whatever_the_claim(make_app):
    assert get(make_app(JWT_PERMISSIONS_CLAIM="scope"), scope="wallet_access payments_read") == 401


# Issuers and audiences


def test_one_of_several_audiences_is_enough(make_app):
    app = make_app(JWT_AUDIENCE="payments, https://pos.example")
    for audience in ("payments", "https://pos.example", ["x", "payments"], ["payments", "https://pos.example"]):
        assert get(app, aud=audience) == 204, audience
    for audience in (None, "pay", "payments, https://pos.example", "payments,", ["x"], [], "", ["payments", 1], {}):
        assert get(app, aud=audience) == 401, audience


@pytest.fixture
def keycloak():
    """Return the claims of a Keycloak token."""
    now = int(time.time())
    return {
        "exp": now + 300, "iat": now, "jti": "onrtac:5a7e", "iss": "https://sso.example/realms/pos", "aud": "account",
        "sub": "f3c8a1f0-5d0e-4a8e-8b1e-0c8f4f0a3c11", "typ": "Bearer", "azp": "till", "sid": "b5e1", "acr": "1",
        "allowed-origins": ["https://till.example"], "realm_access": {"roles": ["offline_access", "cashier"]},
        "resource_access": {"account": {"roles": ["manage-account"]}}, "scope": "openid email profile",
        "email_verified": True, "preferred_username": "ana",
    }


def sign(claims, **headers):
    return jwt.encode(claims, SECRET, "HS256", headers)


def test_a_token_of_keycloak_is_accepted_but_not_its_others(make_app, keycloak):
    app = make_app(
        JWT_ISSUER=keycloak["iss"], JWT_ROLE_CLAIM="realm_access.roles", ROLE_PERMISSIONS=ROLES,
        JWT_REQUIRED_CLAIM="azp=till", JWT_AUDIENCE="account,payments",
    )
    assert client_of(app, sign(keycloak)).get("/payments").status_code == 204
    for other in ({"typ": "ID", "aud": "till"}, {"typ": "Refresh"}, {"typ": "Offline"}, {"typ": "Logout"}):
        assert client_of(app, sign(keycloak | other)).get("/payments").status_code == 401


def test_a_token_of_cognito_is_accepted_but_not_its_id_token(make_app):
    now = int(time.time())
    access = {
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "cognito:groups": ["cashier"], "token_use": "access",
        "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_x", "client_id": "6ab", "scope": "aws.cognito",
        "auth_time": now, "exp": now + 3600, "iat": now, "version": 2, "username": "ana", "jti": "1",
    }
    app = make_app(JWT_ROLE_CLAIM="cognito:groups", ROLE_PERMISSIONS=ROLES, JWT_REQUIRED_CLAIM="client_id=6ab")
    assert client_of(app, sign(access)).get("/payments").status_code == 204
    identity = access | {"token_use": "id", "aud": "6ab"}
    assert client_of(app, sign(identity)).get("/payments").status_code == 401
    assert client_of(app, sign(access | {"client_id": "other"})).get("/payments").status_code == 401


def test_tokens_of_auth0_entra_firebase_and_supabase_are_read(make_app):
    now = int(time.time())
    times = {"iat": now, "exp": now + 3600}
    auth0 = times | {
        "iss": "https://pos.eu.auth0.com/", "sub": "auth0|5f7c8", "aud": ["https://pos.example", "https://x/userinfo"],
        "azp": "6ab", "scope": "openid profile", "permissions": ["payments_read"],
    }
    app = make_app(JWT_AUDIENCE="https://pos.example")
    assert client_of(app, sign(auth0, typ="at+jwt")).get("/payments").status_code == 204
    entra = times | {
        "aud": "api://payments", "iss": "https://login.microsoftonline.com/t/v2.0", "nbf": now, "aio": "E2",
        "azp": "6ab", "azpacr": "1", "oid": "9b", "roles": ["payments_read"], "scp": "access_as_user", "sub": "Ax_",
        "tid": "t", "ver": "2.0",
    }
    app = make_app(JWT_PERMISSIONS_CLAIM="roles", JWT_AUDIENCE="api://payments")
    assert client_of(app, sign(entra)).get("/payments").status_code == 204
    firebase = times | {
        "iss": "https://securetoken.google.com/pos", "aud": "pos", "auth_time": now, "user_id": "u1", "sub": "u1",
        "cashier": True, "role": "cashier", "firebase": {"identities": {}, "sign_in_provider": "password"},
    }
    assert client_of(make_app(ROLE_PERMISSIONS=ROLES), sign(firebase)).get("/payments").status_code == 204
    supabase = times | {
        "iss": "https://x.supabase.co/auth/v1", "sub": "94d0", "aud": "authenticated", "email": "", "phone": "",
        "app_metadata": {"provider": "email", "role": "cashier"}, "user_metadata": {}, "role": "authenticated",
        "aal": "aal1", "amr": [{"method": "password", "timestamp": now}], "session_id": "1", "is_anonymous": False,
    }
    app = make_app(JWT_ROLE_CLAIM="app_metadata.role", ROLE_PERMISSIONS=ROLES, JWT_AUDIENCE="authenticated")
    assert client_of(app, sign(supabase)).get("/payments").status_code == 204
