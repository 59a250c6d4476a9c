"""The one sheet that a database's scores come in, CSIQ's, read by openpyxl."""

import warnings
import zipfile
from io import BytesIO
from pathlib import Path

from mtl.runtime.extras import needs
from mtl.runtime.files import InputError

Cell = str | float

LARGEST = 64 * 2**20  # bytes, unpacked; CSIQ's whole workbook is below one MiB


def read_sheet(path: Path, sheet: str) -> list[dict[int, Cell]]:
    """The rows of one sheet, each the cells that are not empty by column number from 0.

    Raises:
        InputError: the file is missing or damaged, is no workbook, or lacks the sheet; or openpyxl
            is not installed.
    """
    needs(f"{path}: reading a workbook", "databases", only=("openpyxl",))
    import openpyxl

    if not path.is_file():
        raise InputError(f"{path}: no such file; give the authors' workbook")
    try:
        file = BytesIO(path.read_bytes())
        with zipfile.ZipFile(file) as archive:
            if sum(part.file_size for part in archive.infolist()) > LARGEST:
                raise ValueError(f"is larger than {LARGEST / 2**20:.0f} MiB when unpacked")
        with warnings.catch_warnings():  # of formats and extensions, which do not matter here
            warnings.simplefilter("ignore")
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
            if sheet not in workbook.sheetnames:
                raise ValueError(f"has no sheet {sheet}")
            held = workbook[sheet]
            held.reset_dimensions()  # some programs write none, or wrong ones
            return [
                {column: value for column, value in enumerate(row) if value is not None}
                for row in held.iter_rows(values_only=True)
            ]
    # Whatever a damaged part makes openpyxl, zipfile or the XML parser stumble over.
    except Exception as error:
        detail = " ".join(str(error).split())[:80]
        raise InputError(
            f"{path}: is damaged or no .xlsx workbook ({detail}); unpack the authors' archive again"
        ) from error
