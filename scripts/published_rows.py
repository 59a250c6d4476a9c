"""Replace rows of a published table, and keep those that were measured with other settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mtl.runtime.files import write_atomically
from mtl.runtime.tables.csv_tables import read_table, table_text

Row = Mapping[str, object]


def published(
    path: Path, key: Sequence[str], older: Mapping[str, str] | None = None
) -> list[dict[str, str]]:
    """Return the rows of a table; none where there is no such file.

    Args:
        path: of the CSV file.
        key: columns that tell rows apart.
        older: values of columns that tables of earlier versions have not.

    Raises:
        InputError: the table is damaged or lacks a column of `key` that `older` has no value for.
    """
    older = older or {}
    if not path.exists():
        return []
    required = [name for name in key if name not in older]
    return [{**older, **row} for row in read_table(path, required, list(older))]


def replace_rows(
    path: Path, key: Sequence[str], rows: Sequence[Row], older: Mapping[str, str] | None = None
) -> None:
    """Write rows in the place of those with the same key; new ones come at the end.

    Args:
        path: of the CSV file; made if it is not there.
        key: columns that tell rows apart.
        rows: with the columns that the table has from now on; other columns are dropped.
        older: values of columns that tables of earlier versions have not.

    Raises:
        InputError: as `published` raises it.
    """
    columns = list(rows[0])
    found = {
        tuple(row[name] for name in key): {name: row.get(name, "") for name in columns}
        for row in published(path, key, older)
    }
    found |= {tuple(str(row[name]) for name in key): dict(row) for row in rows}
    write_atomically(path, table_text(list(found.values())))
