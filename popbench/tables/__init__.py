"""Tables that others wrote, row by row: CSV, TSV, JSONL and Parquet, their values as they were written.

Takes a path; hands on rows as mappings of columns to values. `table_file` reads a file, `delimited`, `json_rows` and
`parquet` one format each; `values` turns values into texts and truth values, `numbers` into numbers, and refuses what
can be read in two ways.
"""

from popbench.tables.delimited import UNREADABLE, Quoting
from popbench.tables.json_rows import Written, json_lines, parse_json, parse_object
from popbench.tables.numbers import Decimal, NumberForm, PointWatch, Thousands, read_form, sign_word
from popbench.tables.parquet import label_of
from popbench.tables.table_file import FORMATS, NumberedRow, TableFile
from popbench.tables.values import text_of, truth_of

__all__ = [
    "FORMATS",
    "UNREADABLE",
    "Decimal",
    "NumberForm",
    "NumberedRow",
    "PointWatch",
    "Quoting",
    "TableFile",
    "Thousands",
    "Written",
    "json_lines",
    "label_of",
    "parse_json",
    "parse_object",
    "read_form",
    "sign_word",
    "text_of",
    "truth_of",
]
