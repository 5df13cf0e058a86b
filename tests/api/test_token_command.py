"""flask --app wsgi token"""
import jwt
import pytest

from ..support.clients import client_of
from ..support.engines import on_one_engine
from ..support.keys import make_key, spki
from ..support.payments import NOBODY, payment
from ..support.tokens import PERMISSIONS, SECRET

pytestmark = on_one_engine


@pytest.fixture
def issue(app):
    """Run the command, and return its output."""

    def issue(*args, app=app):
        result = app.test_cli_runner().invoke(args=["token", *args])
        assert result.exit_code == 0, result.output
        return result.output.removesuffix("\n")

    return issue


def claims_of(token, **options):
    return jwt.decode(token, SECRET, algorithms=["HS256"], **options)


def test_by_default_it_grants_everything_for_an_hour(app, issue):
    claims = claims_of(issue())
    assert sorted(claims["permissions"]) == sorted(PERMISSIONS)
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["sub"] == "technician"
    assert client_of(app, issue()).get("/payments").status_code == 204


def test_its_user_permissions_and_hours_can_be_chosen(app, issue):
    token = issue("--user", "anna", "--permissions", "payments_read", "--hours", "12")
    claims = claims_of(token)
    assert (claims["sub"], claims["permissions"]) == ("anna", ["payments_read"])
    assert claims["exp"] - claims["iat"] == 12 * 3600
    client = client_of(app, token)
    assert client.get("/payments").status_code == 204
    assert client.delete(f"/payments/{NOBODY}").status_code == 403


def test_its_user_is_in_the_history(app, issue):
    client = client_of(app, issue("--user", "Ana María"))
    payment_id = client.post("/payments", json=payment()).json["id"]
    assert client.get(f"/payments/{payment_id}/history").json[0]["user_id"] == "Ana María"


@pytest.mark.parametrize(
    "args",
    [
        ["--permissions", "payments_read,payments_create"],
        ["--permissions", "payments_create, payments_read"],
        ["--permissions", "payments_read payments_create payments_read"],
        ["--permissions", "payments_read", "--permissions", "payments_create"],
    ],
    ids=str,
)
def test_several_permissions_may_be_written_in_many_ways(issue, args):
    assert claims_of(issue(*args))["permissions"] == ["payments_read", "payments_create"]


@pytest.mark.parametrize(
    "args",
    [
        ["--permissions", "payments_raed"],
        ["--permissions", "payments_read,admin"],
        ["--permissions", ""],
        ["--permissions", ","],
        ["--hours", "0"],
        ["--hours", "-1"],
        ["--hours", "1.5"],
        ["--hours", "8785"],
        ["--hours", "9" * 30],
        ["--user", ""],
        ["--user", " "],
        ["--user", "anna "],
        ["--user", "a\nb"],
        ["--user", "a\0b"],
        ["--user", "\udcff"],
        ["--user", "x" * 256],
    ],
    ids=ascii,
)
def test_an_invalid_option_is_named_and_no_token_is_made(app, args):
    result = app.test_cli_runner().invoke(args=["token", *args])
    assert result.exit_code == 2
    assert f"Invalid value for '{args[0]}'" in result.output
    assert "eyJ" not in result.output


@pytest.mark.parametrize(
    "settings",
    [
        {"JWT_ISSUER": "sign-in", "JWT_AUDIENCE": "payments"},
        {"JWT_AUDIENCE": "payments,reports"},
        {"JWT_REQUIRED_CLAIM": "token_use=access"},
        {"JWT_REQUIRED_CLAIM": "type=access"},
        {"JWT_REQUIRED_CLAIM": "typ=at+jwt"},
        {"JWT_REQUIRED_CLAIM": "realm.client=till=1"},
        {"JWT_PERMISSIONS_CLAIM": "realm_access.roles"},
        {"JWT_PERMISSIONS_CLAIM": "https://pos.example/permissions"},
        {"JWT_PERMISSIONS_CLAIM": "scope", "JWT_REQUIRED_CLAIM": "scope=pos"},
        {"JWT_PERMISSIONS_CLAIM": "roles", "JWT_ROLE_CLAIM": "roles", "ROLE_PERMISSIONS": '{"cashier": []}'},
    ],
    ids=str,
)
def test_its_token_is_valid_whatever_the_settings_require(make_app, issue, settings):
    app = make_app(**settings)
    token = issue("--permissions", "payments_read", app=app)
    assert client_of(app, token).get("/payments").status_code == 204
    assert client_of(app, token).delete(f"/payments/{NOBODY}").status_code == 403


def test_with_public_keys_only_no_token_is_issued(make_app, tmp_path):
    (tmp_path / "public.pem").write_bytes(spki(make_key()))
    app = make_app(JWT_SECRET="", JWT_PUBLIC_KEY_FILE=str(tmp_path / "public.pem"))
    result = app.test_cli_runner().invoke(args=["token"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: This box can only verify access tokens")
