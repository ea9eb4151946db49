"""The rows of the audit log are chained by digests, and a head row holds the newest number and digest."""

import sqlalchemy as sa
from alembic import op

from ingest_assets.ledger import audit_chain

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

PAGE = 1_000
# Those that migration 0005 created.
OLDER = {"audit_log_no_update", "audit_log_no_delete", "audit_log_no_change", "audit_log_no_truncate"}


def upgrade() -> None:
    op.add_column("audit_log", sa.Column("digest", sa.String(), server_default="", nullable=False))
    op.create_table(
        "audit_log_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log_head")),
    )
    _allow_changes()
    number, digest = _chain()
    op.execute(
        sa.text("INSERT INTO audit_log_head (id, number, digest) VALUES (1, :number, :digest)").bindparams(
            number=number, digest=digest
        )
    )
    _guard()


def downgrade() -> None:
    if _is_sqlite():
        for name in audit_chain.SQLITE_TRIGGERS.keys() - OLDER:
            op.execute(f"DROP TRIGGER {name}")
    else:
        for name in audit_chain.POSTGRES_TRIGGERS.keys() - OLDER:
            op.execute(f"DROP TRIGGER {name} ON {audit_chain.POSTGRES_TRIGGERS[name][0]}")
        for name in audit_chain.POSTGRES_FUNCTIONS.keys() - {"audit_log_only_grows"}:
            op.execute(f"DROP FUNCTION {name}()")
    op.drop_table("audit_log_head")
    op.drop_column("audit_log", "digest")


def _allow_changes() -> None:
    """Until `_guard`. Both are part of the same transaction."""
    if _is_sqlite():
        op.execute("DROP TRIGGER audit_log_no_update")
        op.execute("DROP TRIGGER audit_log_no_delete")
    else:
        op.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")


def _guard() -> None:
    if _is_sqlite():
        for statement in audit_chain.SQLITE_TRIGGERS.values():
            op.execute(statement)
        return
    op.execute("ALTER TABLE audit_log ENABLE TRIGGER USER")
    for name, body in audit_chain.POSTGRES_FUNCTIONS.items():
        op.execute(f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
    for name, (_, when, function) in audit_chain.POSTGRES_TRIGGERS.items():
        if name not in OLDER:
            op.execute(f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION {function}()")


def _chain() -> tuple[int, str]:
    """Give the rows that there are their digests, page by page. Numbers, which may have gaps, stay."""
    log = sa.table("audit_log", *(sa.column(name) for name in (*audit_chain.CONTENT, "digest")))
    connection, number, digest = op.get_bind(), 0, audit_chain.START
    setting = log.update().where(log.c.number == sa.bindparam("at_number")).values(digest=sa.bindparam("new"))
    while True:
        query = sa.select(log).where(log.c.number > number).order_by(log.c.number).limit(PAGE)
        rows = connection.execute(query).mappings().all()
        if not rows:
            return number, digest
        changes = []
        for row in rows:
            number, digest = row["number"], audit_chain.digest_after(digest, dict(row))
            changes.append({"at_number": number, "new": digest})
        connection.execute(setting, changes)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
