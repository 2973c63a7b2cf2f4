"""${message}

Revises: ${down_revision | comma,n}
"""

# To change views: put the new text of those that change, and of no others, into
# views/${up_revision}/NAME.sql (postgresql/NAME.sql where it differs there); op.drop_views(VIEWS),
# change the tables, op.make_views("${up_revision}", VIEWS). Downwards the same with the revision
# below. A merged revision and its view files are never edited and never import our code.

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON_DOC = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
