"""The strict reader: what separates fields, what is a number, and where an error stands."""

import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtl.runtime.files import InputError
from mtl.runtime.tables.csv_tables import (
    read_table,
    table_header,
    table_rows,
    table_text,
    write_rows,
)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "image,score\na.png,4.5\nb.png,3\n",
        "image;score\na.png;4,5\nb.png;3\n",
        "image\tscore\na.png\t4,5\nb.png\t3\n",
        "\ufeffimage;score\r\na.png;4.5\r\nb.png;3,\r\n".replace("3,", "3."),
        "\nimage , score\ra.png,4.5\r\r\nb.png, 3 \r",
        '"image";"score"\n"a.png";"4,5"\n"b.png";"3"',
    ],
)
def test_separators_marks_and_line_ends_that_are_unambiguous_are_read(tmp_path, text):
    rows = read_table(written(tmp_path, text), ("image", "score"))
    assert [row["image"] for row in rows] == ["a.png", "b.png"]
    assert [row.number("score") for row in rows] == [4.5, 3]
    assert table_header(tmp_path / "t.csv") == ["image", "score"]


def test_the_required_columns_tell_the_separator_of_a_header_with_several(tmp_path):
    path = written(tmp_path, "image;score;size, pixels\na;1;3,5\n")
    (row,) = read_table(path, ("image", "score"))
    assert row == {"image": "a", "score": "1", "size, pixels": "3,5"}
    with pytest.raises(
        InputError, match=r"cannot tell what separates .*'image;score;size, pixels'"
    ):
        read_table(path, ())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "image,score\na,4,55\n",
            r"line 2: has 3 fields, not the header's 2; write decimal points",
        ),
        (
            "image;score\na;4;5\n",
            r"line 2: has 3 fields, .* quote a field that holds the separator",
        ),
        ("image,score\na,1,\nb,2,\n", r"line 2: has 3 .*; remove the comma at the end$"),
        ("image\tscore\na\t1\t \n", r"line 2: has 3 .*; remove the separator at the end$"),
        ('"image","score"\n"1","a",1\n', r"line 2: has 3 .*; name the column of '1' in the header"),
        ("image,score\na,1\nb\n", r"line 3: has 1 field, not the header's 2"),
        ("image,score\na,1\nb,1,2,3,4\n", r"line 3: has 5 fields, not the header's 2"),
        ("image,score,Score\na,1,2\n", r"names Score twice, in the columns 2 and 3"),
        ("image,score, image\na,1,2\n", r"names image twice, in the columns 1 and 3"),
        (",image,score\n0,a,1\n", r"column 1 of the header ',image,score' has no name"),
        ('image,score\n"a,1\nb,2\n', r"line 2: is not CSV text .*; correct its quotes"),
        ('image,score\n"a"x,1\n', r"line 2: is not CSV text"),
        ("image,score\na,1\n".encode("utf-16"), r"is not a CSV text file .* 'CSV UTF-8'"),
        ("image,score\na,1\n".encode("utf-16-le"), r"is not a CSV text file"),
        ("\n\n", r"image is missing"),
    ],
)
def test_tables_that_could_be_read_wrongly_are_refused(tmp_path, text, problem):
    with pytest.raises(InputError, match=problem) as raised:
        read_table(written(tmp_path, text), ("image", "score"))
    assert "t.csv" in str(raised.value) and "\n" not in str(raised.value)


WRONG = [
    "4_5", "nan", "inf", "-Infinity", "1e400", "", " ", "0x10", "٤٫٥", "４", "1 5", "4,5", "1e",
    ".", "--1", "1.2.3",
]  # fmt: skip


@pytest.mark.parametrize("value", WRONG)
def test_what_is_no_number_is_named_with_its_place(tmp_path, value):
    text = table_text([{"image": "a", "score": "1"}, {"image": "b", "score": value}])
    rows = read_table(written(tmp_path, text), ("score",))
    assert rows[0].number("score") == 1
    with pytest.raises(InputError, match=r"t\.csv: line 3: score '") as raised:
        rows[1].number("score")
    assert repr(value) in str(raised.value)


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([",", ";", "\t"]))
def test_every_number_is_read_as_python_writes_it(tmp_path_factory, value, delimiter):
    path = written(tmp_path_factory.mktemp("t"), f"a{delimiter}b\nx{delimiter}{value!r}\n")
    assert read_table(path, ())[0].number("b") == value


def test_nan_and_infinity_are_read_where_they_are_allowed(tmp_path):
    rows = read_table(written(tmp_path, "x\nNaN\n-inf\n4_5\n"), ())
    assert rows[0].number("x", finite=False) != rows[0].number("x", finite=False)
    assert rows[1].number("x", finite=False) == float("-inf")
    with pytest.raises(InputError, match="line 4"):
        rows[2].number("x", finite=False)


def test_only_signs_that_numbers_have_are_taken(tmp_path):
    text = "x\n--nan\n+-inf\n-+1\n--Infinity\n- inf\n"
    for row in read_table(written(tmp_path, text), ()):
        with pytest.raises(InputError, match=f"line {row.line}: x .* is not a number"):
            row.number("x", finite=False)


def test_a_comment_above_the_header_is_said(tmp_path):
    path = written(tmp_path, "# by me\nimage,score\na,1\n")
    with pytest.raises(InputError, match="remove what stands above the header, if '# by me' is"):
        read_table(path, ())


@pytest.mark.parametrize(
    "header",
    [
        'image,score,"Rating (1=bad; 5=good)"',
        '"image","score","tags;\tall"',
        'image,score,"a ""quoted; "" word"',
    ],
)
def test_separators_in_quotes_separate_nothing(tmp_path, header):
    (row,) = read_table(written(tmp_path, header + "\na,1,x\n"), ())
    assert list(row)[:2] == ["image", "score"] and len(row) == 3
    assert table_header(tmp_path / "t.csv") == list(row)


def test_a_header_whose_quotes_are_wrong_is_said(tmp_path):
    path = written(tmp_path, 'image,"score"x\na,1\n')
    for read in (table_header, lambda path: read_table(path, ())):
        with pytest.raises(InputError, match=r"is not CSV text; correct its quotes"):
            read(path)


def test_columns_that_are_asked_for_are_found_however_they_are_spelled(tmp_path):
    path = written(tmp_path, "Image Name;TAGS;Other One\na;b;c\n")
    (row,) = read_table(path, ("image_name",), ("tags", "none"))
    assert row == {"image_name": "a", "tags": "b", "Other One": "c"}
    path = written(tmp_path, "Te st,te_st\na,b\n")
    with pytest.raises(InputError, match="Te st and te_st may both be the column test; rename"):
        read_table(path, (), ("test",))
    assert read_table(path, ("te_st",)) == [{"Te st": "a", "te_st": "b"}]


def test_numbers_of_any_length_are_named_shortly(tmp_path):
    rows = read_table(written(tmp_path, f"n\n{'9' * 5000}\n{'0' * 5000}7\n"), ())
    for read in (rows[0].whole_number, rows[0].number):
        with pytest.raises(InputError, match=r"line 2: n '9+ \.\.\.'") as raised:
            read("n")
        assert len(str(raised.value)) < 1000
    assert rows[1].number("n") == 7


def test_whole_numbers_as_pandas_writes_them(tmp_path):
    rows = read_table(written(tmp_path, "n;m\n2.0;x\n3.00;x\n-1.;x\n1.5;x\n.0;x\n3,000;x\n"), ())
    assert [row.whole_number("n", zeros=True) for row in rows[:3]] == [2, 3, -1]
    for row in rows[3:]:
        with pytest.raises(InputError, match=f"line {row.line}: n .* is no whole number"):
            row.whole_number("n", zeros=True)


def test_one_decimal_mark_holds_for_a_whole_table(tmp_path):
    rows = read_table(written(tmp_path, "a;b\n1,5;7\n2;0.5\n"), ())
    assert (rows[0].number("a"), rows[0].number("b"), rows[1].number("a")) == (1.5, 7, 2)
    with pytest.raises(InputError, match=r"line 3: b '0.5' has a decimal point, but line 2 a dec"):
        rows[1].number("b")
    (row,) = read_table(written(tmp_path, 'a,b\n"1,5",7\n'), ())
    with pytest.raises(
        InputError, match="line 2: a '1,5' has a decimal comma, and commas separate"
    ):
        row.number("a")


def test_whole_numbers_are_digits(tmp_path):
    rows = read_table(written(tmp_path, "n\n7\n1_0\n2.0\n٣\n"), ())
    assert rows[0].whole_number("n") == 7
    for row in rows[1:]:
        with pytest.raises(InputError, match=rf"line {row.line}: n .* is no whole number"):
            row.whole_number("n")


def test_lines_are_those_that_an_editor_shows(tmp_path):
    text = '\n"ima\nge",score\n"a\n\nb",1\n\nc,2\r\nd,3,4\n'
    path = written(tmp_path, text.replace('"ima\nge"', "image"))
    rows = table_rows(path, ("image",))
    first = next(rows)
    assert (first["image"], first.line) == ("a\n\nb", 3)
    assert next(rows).line == 7
    with pytest.raises(InputError, match="line 8: has 3 fields"):
        next(rows)
    # A header of two lines.
    (row, *_) = table_rows(written(tmp_path, text.replace("d,3,4", "d,3")), ())
    assert row.line == 4 and list(row) == ["ima\nge", "score"]


def test_a_large_table_is_read_in_little_memory(tmp_path):
    path = tmp_path / "large.csv"
    with path.open("w") as file:
        file.write("image,score\n")
        file.writelines(f"{k:09d}.png,{k}\n" for k in range(60_000))
    tracemalloc.start()
    count = sum(1 for _ in table_rows(path, ("image",)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 60_000 and peak < 2**20 < path.stat().st_size


@pytest.mark.parametrize(
    "name", ["a\rb.png", "\r", "a\r\nb.png", "a\nb.png", "end\r\n", 'q"\r,.png']
)
def test_every_name_that_is_written_is_read_back(tmp_path, name):
    rows = [{"image": "plain.png", "score": "1"}, {"image": name, "score": "2"}]
    path = written(tmp_path, table_text(rows))
    assert read_table(path, ("image",)) == rows
    assert path.read_bytes().startswith(b"image,score\nplain.png,1\n")  # no quotes, LF alone
    text = io.StringIO()
    write_rows(text, [["image", "score"], *(row.values() for row in rows)])
    assert text.getvalue().encode() == path.read_bytes()
