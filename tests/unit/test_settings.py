"""Settings: valid and invalid values"""
from concurrent.futures import ThreadPoolExecutor
from datetime import time
from zoneinfo import ZoneInfo

import pytest

from payments_service import SettingError, create_app
from payments_service.settings import read_settings
from payments_service.tokens.keys import read_keys

from ..support.project import PROJECT
from ..support.tokens import SECRET


def test_the_defaults_are_those_of_the_readme():
    settings = read_settings({"JWT_SECRET": SECRET})
    assert settings["HOST"] == "127.0.0.1"
    assert settings["PORT"] == 9154
    assert settings["THREADS"] == 8
    assert settings["DATABASE_URL"] == f"sqlite:///{PROJECT}/instance/payments.db"
    assert settings["JWT_LEEWAY"] == 10
    assert settings["IDEMPOTENCY_DAYS"] == 7
    assert settings["JWT_ISSUER"] is settings["JWT_AUDIENCE"] is None
    assert settings["ROLE_PERMISSIONS"] == {}


@pytest.mark.parametrize("url", ["postgresql://till:s%40@db:5433/payments?sslmode=require", "postgresql:///payments"])
def test_a_database_url_is_kept_except_for_blanks_around_it(url):
    assert read_settings({"JWT_SECRET": SECRET, "DATABASE_URL": f" {url}\n"})["DATABASE_URL"] == url


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgresql://till:secret@db/payments", "postgresql://db:5432/payments"),
        ("postgresql://till:secret@[::1]:5433/payments", "postgresql://[::1]:5433/payments"),
        ("postgresql:///payments", "postgresql://:5432/payments"),
    ],
)
def test_the_log_shows_the_location_of_a_database_as_a_url(url, location):
    app = create_app({"JWT_SECRET": SECRET, "DATABASE_URL": url})
    assert app.extensions["payments"].database.location == location


@pytest.mark.parametrize("scheme", ["postgres", "postgresql+psycopg", "postgresql+psycopg2", "postgres+asyncpg"])
def test_other_schemes_of_postgresql_are_accepted(scheme):
    url = read_settings({"JWT_SECRET": SECRET, "DATABASE_URL": f"{scheme}://till:s%40@db/payments"})["DATABASE_URL"]
    assert url == "postgresql://till:s%40@db/payments"


@pytest.mark.parametrize(
    ("value", "network"),
    [
        ("127.0.0.1", "127.0.0.1/32"),
        (" 172.16.0.0/12 ", "172.16.0.0/12"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("::1", "::1/128"),
        ("fd00::/8", "fd00::/8"),
    ],
)
def test_a_trusted_proxy_is_an_address_or_a_network(value, network):
    assert str(read_settings({"JWT_SECRET": SECRET, "TRUSTED_PROXY": value})["TRUSTED_PROXY"]) == network


def test_settings_are_read_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PAYMENTS_PORT", "8000")
    monkeypatch.setenv("PAYMENTS_DATABASE_URL", f"sqlite:///{tmp_path}/till.db")
    monkeypatch.setenv("PAYMENTS_ROLE_PERMISSIONS", '{"cashier": ["payments_read"]}')
    monkeypatch.setenv("PAYMENTS_JWT_SECRET", "1" * 40)
    monkeypatch.setenv("PAYMENTS_JWT_ISSUER", "")
    settings = read_settings()
    assert settings["PORT"] == 8000
    assert settings["DATABASE_URL"] == f"sqlite:///{tmp_path}/till.db"
    assert settings["ROLE_PERMISSIONS"] == {"cashier": ["payments_read"]}
    assert settings["JWT_SECRET"] == "1" * 40
    assert settings["JWT_ISSUER"] is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("PORT", "-1"),
        ("PORT", "80.5"),
        ("THREADS", "0"),
        ("THREADS", "many"),
        ("DATABASE_URL", "mysql://localhost/payments"),
        ("DATABASE_URL", "payments.db"),
        ("DATABASE_URL", "host=127.0.0.1 dbname=payments"),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "sqlite:///pay\nments.db"),
        ("DATABASE_URL", "postgresql://till:secret@127.0.0.1"),
        ("DATABASE_URL", "postgres://till:secret@127.0.0.1"),
        ("DATABASE_URL", "postgresql+://till:secret@127.0.0.1/payments"),
        ("DATABASE_URL", "postgresqlx://till:secret@127.0.0.1/payments"),
        ("DATABASE_URL", "postgresql://till:secret@127.0.0.1:5432/pay%0Aments"),
        ("DATABASE_URL", "postgresql://till:sec%ret@127.0.0.1/payments"),
        ("DATABASE_URL", "postgresql://till:/secret@127.0.0.1/payments"),
        ("DATABASE_URL", "postgresql://till:a/secret@127.0.0.1:5432/payments"),
        ("DATABASE_URL", "postgresql://till:a@secret@127.0.0.1:5432/payments"),
        ("DATABASE_URL", "postgresql://till:a@secret/b@127.0.0.1/payments"),
        ("DATABASE_URL", "postgresql://127.0.0.1/payments?dbname=password%3Dsecret"),
        ("DATABASE_URL", "postgresql://127.0.0.1/payments?colour=secret"),
        ("JWT_SECRET", "short"),
        ("JWT_SECRET", "x" * 31),
        ("JWT_SECRET", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7"),
        ("JWT_SECRET", "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----"),
        ("JWT_SECRET_FILE", "/nowhere/jwt-secret"),
        ("JWT_PUBLIC_KEY_FILE", "/nowhere/public.pem"),
        ("JWT_PUBLIC_KEY_FILE", "/dev/null"),
        ("JWT_PUBLIC_KEY_FILE", __file__),
        ("JWT_JWKS_URL", "sign-in.example/jwks.json"),
        ("JWT_JWKS_URL", "http://sign-in.example/jwks.json"),
        ("JWT_JWKS_URL", "http://10.0.0.5/jwks.json"),
        ("JWT_JWKS_URL", "http://localhost.example/jwks.json"),
        ("JWT_JWKS_URL", "http://127.0.0.1@sign-in.example/jwks.json"),
        ("JWT_JWKS_URL", "https://me:secret@sign-in.example/jwks.json"),
        ("JWT_JWKS_URL", "https://sign-in.example/jwks.json#keys"),
        ("JWT_JWKS_URL", "https://sign-in.example:port/jwks.json"),
        ("JWT_JWKS_URL", "https://sign-in.example/jwks .json"),
        ("JWT_JWKS_URL", "https:///jwks.json"),
        ("JWT_JWKS_URL", "https://[::1/jwks.json"),
        ("JWT_JWKS_URL", "file:///etc/payments/jwks.json"),
        ("JWT_JWKS_URL", "ftp://127.0.0.1/jwks.json"),
        ("JWT_AUDIENCE", "payments,"),
        ("JWT_AUDIENCE", ",,"),
        ("JWT_REQUIRED_CLAIM", "token_use"),
        ("JWT_REQUIRED_CLAIM", "token_use="),
        ("JWT_REQUIRED_CLAIM", "=access"),
        ("JWT_REQUIRED_CLAIM", "realm..use=access"),
        ("JWT_PERMISSIONS_CLAIM", "realm_access."),
        ("JWT_ROLE_CLAIM", ".roles"),
        ("JWT_ALGORITHM", "none"),
        ("JWT_ALGORITHM", "HS512"),
        ("JWT_ALGORITHM", "RS256"),
        ("IDEMPOTENCY_DAYS", "0"),
        ("IDEMPOTENCY_DAYS", "366"),
        ("LIGHTNING", "lnd"),
        ("LIGHTNING_URL", "http://10.0.0.5:5000"),
        ("LIGHTNING_URL", "http://key:secret@127.0.0.1:5000"),
        ("LIGHTNING_SECONDS", "59"),
        ("LIGHTNING_SECONDS", "86401"),
        ("LOG_FORMAT", "xml"),
        ("TIME_ZONE", "Berlin"),
        ("TIME_ZONE", "Europe"),
        ("TIME_ZONE", "../../etc/passwd"),
        ("TIME_ZONE", "/usr/share/zoneinfo/Europe/Berlin"),
        ("DAY_ENDS", "12:00"),
        ("DAY_ENDS", "4:00"),
        ("DAY_ENDS", "04:60"),
        ("DAY_ENDS", "04:00:00"),
        ("DAY_ENDS", "-01:00"),
        ("TRUSTED_PROXY", "localhost"),
        ("TRUSTED_PROXY", "*"),
        ("TRUSTED_PROXY", "127.0.0.1,10.0.0.1"),
        ("TRUSTED_PROXY", "300.1.1.1"),
        ("TRUSTED_PROXY", "172.16.0.1/12"),
        ("TRUSTED_PROXY", "172.16.0.0/33"),
        ("TRUSTED_PROXY", "nginx/24"),
        ("JWT_LEEWAY", "-1"),
        ("JWT_LEEWAY", "301"),
        ("JWT_LEEWAY", "1e3"),
        ("ROLE_PERMISSIONS", "cashier"),
        ("ROLE_PERMISSIONS", "[]"),
        ("ROLE_PERMISSIONS", '{"cashier": "payments_read"}'),
        ("ROLE_PERMISSIONS", '{"cashier": [1]}'),
        ("ROLE_PERMISSIONS", '{"cashier": ["payments_raed"]}'),
    ],
)
def test_a_wrong_value_stops_the_start_naming_the_variable(name, value):
    settings = {"JWT_SECRET": SECRET} | {name: value}
    if name.endswith(("_FILE", "_URL")) and name != "DATABASE_URL":
        del settings["JWT_SECRET"]
    with pytest.raises(SettingError) as refusal:
        create_app(settings)
    assert f"PAYMENTS_{name}" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "secret" not in str(refusal.value).replace("jwt-secret", "") or not name.endswith("_URL")


@pytest.mark.parametrize("other", ["JWT_SECRET_FILE", "JWT_PUBLIC_KEY_FILE", "JWT_JWKS_URL"])
def test_keys_in_two_settings_are_rejected(other):
    with pytest.raises(SettingError, match=f"PAYMENTS_{other}"):
        read_keys(read_settings({"JWT_SECRET": SECRET, other: "https://sign-in.example/jwks.json"}))


def secrets_of(settings):
    """Return the secrets that some settings name."""
    return [key.material for key in read_keys(read_settings(settings)).current()]


def test_a_secret_is_measured_in_bytes():
    assert secrets_of({"JWT_SECRET": "ü" * 16}) == ["ü" * 16]


def test_a_secret_is_read_from_its_file(tmp_path):
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    assert secrets_of({"JWT_SECRET_FILE": str(tmp_path / "secret")}) == [SECRET]


def test_a_business_day_ends_by_the_settings():
    settings = read_settings({"JWT_SECRET": SECRET, "TIME_ZONE": " Europe/Berlin ", "DAY_ENDS": "04:30"})
    assert (settings["TIME_ZONE"], settings["DAY_ENDS"]) == (ZoneInfo("Europe/Berlin"), time(4, 30))
    settings = read_settings({"JWT_SECRET": SECRET})
    assert (settings["TIME_ZONE"], settings["DAY_ENDS"]) == (None, time(0))


def test_a_misspelled_setting_is_logged(caplog):
    read_settings({"JWT_SECRET": SECRET, "JWT_ISUER": "sign-in"})
    assert "PAYMENTS_JWT_ISUER" in caplog.text
    assert "sign-in" not in caplog.text


def test_many_first_starts_at_once_share_one_secret(tmp_path, monkeypatch):
    for number in range(20):
        monkeypatch.setattr("payments_service.tokens.keys.GENERATED_SECRET_FILE", tmp_path / str(number) / "jwt-secret")
        with ThreadPoolExecutor(8) as starters:
            secrets = list(starters.map(lambda _: secrets_of({})[0], range(8)))
        assert len(set(secrets)) == 1
        assert [path.name for path in (tmp_path / str(number)).iterdir()] == ["jwt-secret"]
