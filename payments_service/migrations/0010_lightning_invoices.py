"""Add the Lightning invoices that the service asks a node for."""
from peewee import (
    BigAutoField, BigIntegerField, BooleanField, Check, Field, ForeignKeyField, Model, TextField, UUIDField,
)

MAX_BIGINT = 2**63 - 1
# All bitcoin that can exist.
MAX_SAT = 2_100_000_000_000_000
# As in migration 0009.
WHOLE = "{column} = CAST({column} AS BIGINT)"


class TimestampField(Field):
    """A column for a time with its time zone."""

    field_type = "TIMESTAMPTZ"


def check_range(column, most):
    """Return the check of a column of whole numbers from 1."""
    condition = f"{WHOLE.format(column=column)} AND {column} BETWEEN 1 AND {most}"
    return [Check(condition, name=f"lightning_invoice_{column}")]


def check_length(column, most):
    """Return the check of the length of a text."""
    return [Check(f"length({column}) BETWEEN 1 AND {most}", name=f"lightning_invoice_{column}_length")]


def up(migrator, db):
    """Apply the migration."""
    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Currency(Table):
        id = UUIDField(primary_key=True)

    class LightningInvoice(Table):
        # In the order of making; the ids are the tills' own.
        number = BigAutoField(constraints=[Check("number > 0", name="lightning_invoice_number_positive")])
        id = UUIDField(unique=True)
        ticket_id = TextField(null=True, constraints=check_length("ticket_id", 255))
        currency = ForeignKeyField(Currency, index=False)
        minor_units = BigIntegerField(constraints=check_range("minor_units", MAX_BIGINT))
        asked_sat = BigIntegerField(null=True, constraints=check_range("asked_sat", MAX_SAT))
        memo = TextField(null=True, constraints=check_length("memo", 128))
        user_id = TextField(null=True)
        request_id = TextField()
        created_at = TimestampField()
        state = TextField(
            constraints=[Check("state IN ('new', 'open', 'withdrawn', 'paid')", name="lightning_invoice_state")]
        )
        watched = BooleanField(
            constraints=[Check("NOT watched OR state IN ('open', 'withdrawn')", name="lightning_invoice_watched_state")]
        )
        # What the node has offered: null together.
        amount_sat = BigIntegerField(null=True, constraints=check_range("amount_sat", MAX_SAT))
        rate = TextField(null=True)
        bolt11 = TextField(null=True, unique=True)
        payment_hash = TextField(
            null=True,
            unique=True,
            constraints=[Check("length(payment_hash) = 64", name="lightning_invoice_payment_hash_length")],
        )
        expires_at = TimestampField(null=True)
        # What has arrived.
        received_msat = BigIntegerField(
            null=True,
            constraints=[
                Check(
                    f"{WHOLE.format(column='received_msat')} AND received_msat BETWEEN 0 AND {MAX_BIGINT}",
                    name="lightning_invoice_received_msat",
                )
            ],
        )
        # Not a foreign key: somebody may delete the payment later.
        payment_id = UUIDField(null=True, unique=True)
        paid_at = TimestampField(null=True)

        class Meta:
            constraints = [
                Check(
                    "(bolt11 IS NULL) = (amount_sat IS NULL) AND (bolt11 IS NULL) = (payment_hash IS NULL) "
                    "AND (bolt11 IS NULL) = (expires_at IS NULL) AND (bolt11 IS NOT NULL OR rate IS NULL)",
                    name="lightning_invoice_offer",
                ),
                Check(
                    "(state <> 'new' OR bolt11 IS NULL) AND (state NOT IN ('open', 'paid') OR bolt11 IS NOT NULL) "
                    "AND (NOT watched OR bolt11 IS NOT NULL)",
                    name="lightning_invoice_offered",
                ),
                Check(
                    "(state = 'paid') = (payment_id IS NOT NULL) AND (state = 'paid') = (paid_at IS NOT NULL)",
                    name="lightning_invoice_paid",
                ),
            ]
            indexes = (
                (("watched", "number"), False),
                (("state", "number"), False),
                (("ticket_id", "number"), False),
                (("paid_at",), False),
            )

    db.create_tables([LightningInvoice], safe=False)
