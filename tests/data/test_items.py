"""Items: details of each shape of items file, and errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from data.errors import DataError
from data.formats import open_dataset
from data.items import Item, read_items

FLAGS = ["0"] * 19


@pytest.fixture
def items_of(write, tmp_path) -> Callable[[str, str | bytes], list[Item]]:
    """Returns a function that reads an items file, with a ratings file of the same shape beside it."""
    ratings = {
        "movies.dat": {"ratings.dat": ""},
        "u.item": {"u.data": ""},
        "movies.csv": {"ratings.csv": "userId,movieId,rating,timestamp\n"},
        "items.csv": {"log.csv": "user,item,timestamp\n"},
        "ml-100k.item": {"ml-100k.inter": "user_id:token\titem_id:token\ttimestamp:float\n"},
    }
    return lambda name, content: read_items(open_dataset(write(ratings[name] | {name: content}), tmp_path))


def test_there_are_no_items_without_an_items_file(write, tmp_path) -> None:
    assert read_items(open_dataset(write({"ratings.dat": ""}), tmp_path)) == []


def test_the_first_of_two_rows_for_an_item_is_used(items_of) -> None:
    assert items_of("movies.dat", "1::A (1990)::Drama\n1::B (1991)::War\n") == [Item("1", "A (1990)", ("Drama",), 1990)]


def test_a_title_keeps_its_year_if_the_release_year_differs(items_of) -> None:
    row = "|".join(["1", "Kolya (1996)", "24-Jan-1997", "", "", *FLAGS])
    assert items_of("u.item", row + "\n") == [Item("1", "Kolya (1996)", (), 1997)]


def test_the_year_of_the_title_replaces_a_missing_release_date(items_of) -> None:
    row = "|".join(["1", "Kolya (1996)", "", "", "", *FLAGS])
    assert items_of("u.item", row + "\n") == [Item("1", "Kolya (1996)", (), 1996)]


def test_every_genre_flag_has_its_name(items_of) -> None:
    row = "|".join(["1", "unknown", "", "", "", *FLAGS[:-2], "1", "1"])
    assert items_of("u.item", row + "\n") == [Item("1", "unknown", ("War", "Western"), None)]


def test_recbole_years_may_be_blank_and_spaces_separate_genres(items_of) -> None:
    header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    assert items_of("ml-100k.item", header + "1\tOdd\t\tDrama Film-Noir\n2\tEven\t1995\t\n") == [
        Item("1", "Odd", ("Drama", "Film-Noir"), None),
        Item("2", "Even (1995)", (), 1995),
    ]


@pytest.mark.parametrize(
    ("title", "year"),
    [("A (1995) ", 1995), ("A (2006-2007)", None), ("A", None), ("A (1995) B", None), ("(9999)", None)],
)
def test_the_year_is_read_from_the_end_of_a_title(title: str, year: int | None, items_of) -> None:
    assert items_of("movies.dat", f"1::{title}::Drama\n")[0].year == year


def test_quoted_titles_may_contain_quotes_commas_and_line_ends(items_of) -> None:
    content = 'movieId,title,genres\r\n1,"A ""b"", c",Drama\r\n2,"D\nE",War\r\n\r\n'
    assert [item.title for item in items_of("movies.csv", content)] == ['A "b", c', "D\nE"]


def test_titles_of_mixed_encodings_are_read_line_by_line(items_of) -> None:
    content = b"item,title\nx,Caf\xc3\xa9\ny,Caf\xe9\nz,\x93Quoted\x94\n"
    assert [item.title for item in items_of("items.csv", content)] == ["Café", "Café", "“Quoted”"]


@pytest.mark.parametrize("end", ["", ', "green"', "\r, grey", "\n"])
def test_lines_of_a_description_may_contain_as_many_commas_as_a_row(end: str, items_of) -> None:
    text = f"Soft, warm.\nBlack, white{end}\nMade in Oslo, 2019"
    (item, next_item) = items_of("items.csv", 'item,description\nB01,"' + text.replace('"', '""') + '"\nB02,C\n')
    assert item.id == "B01" and item.more == {"description": (text,)} and next_item.id == "B02"


@pytest.mark.parametrize(
    ("text", "year"), [("20190501", 2019), ("12345", None), ("20191301", None), ("1998-2003", 1998)]
)
def test_the_year_of_a_date_is_read(text: str, year: int | None, items_of) -> None:
    assert items_of("items.csv", f"item,title,release_year\nx,A,{text}\n")[0].year == year


def test_lines_of_spaces_are_not_items(items_of) -> None:
    assert len(items_of("items.csv", "item,title\nx,A\n   \n")) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item,title,genres\nx,A,Drama\ny,B\n", "items.csv, line 3: expected 3 fields separated by ',', found 2"),
        ("item,title\n ,A\n", "items.csv, line 2: no item id"),
        ('item,title\nw,Z\nx,"A\n' + "y,B\n" * 50_000, "items.csv, line 3: field larger than field limit"),
        ('item,title\nx,"A\ny,B\nz,C"\n', "items.csv, line 2: a quote that opens here contains the rows after it"),
        ('item,title\nx,"A\ny,B"\nz,C\n', "items.csv, line 2: a quote that opens here contains the rows after it"),
        ('item,title,genres\nx,A,War\n17,"B,War\n18,C""",War\n', "items.csv, line 3: a quote that opens here"),
        ('item,title\nx,"A\n\ny,B"\n', "items.csv, line 2: a quote that opens here contains the rows after it"),
        ('item,title\nw,Z\n"x\ny",B\n', "items.csv, line 3: the item id 'x\\ny' has a line break"),
        ('item,title\nx,"A" b\ny,B\n', "items.csv, line 2: ',' expected after"),
        ('item,title\nw,Z\nx,"A\n', "items.csv, line 3: unexpected end of data; look for an unclosed quote"),
        ("item,title\nx,A\rB\n", "items.csv, line 2: new-line character seen in unquoted field"),
        (
            "item,title\nx,Tea, green\n",
            "line 2: expected 2 fields separated by ',', found 3; put a field that contains the separator",
        ),
    ],
)
def test_the_error_for_a_bad_item_names_the_file_and_the_line(content: str, message: str, items_of) -> None:
    with pytest.raises(DataError) as raised:
        items_of("items.csv", content)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_other_columns_of_own_items_are_kept_under_their_names(items_of) -> None:
    content = (
        "item,Brand,title,genres,colour,release_year,\n"
        'x,Alp,A,Drama,"red|dark blue| ",1990,unnamed\n'
        "y,,B,Drama|War,,,\n"
    )
    assert items_of("items.csv", content) == [
        Item("x", "A", ("Drama",), 1990, {"brand": ("Alp",), "colour": ("red", "dark blue")}),
        Item("y", "B", ("Drama", "War"), None, {"brand": (), "colour": ()}),
    ]


def test_words_for_missing_values_are_not_features(items_of) -> None:
    content = "item,title,genres,brand,price\nx,None,Drama|n/a,NULL,NA\ny,B,-,Alp|null,3\n"
    assert items_of("items.csv", content) == [
        Item("x", "None", ("Drama",), None, {"brand": (), "price": ()}),
        Item("y", "B", (), None, {"brand": ("Alp",), "price": ("3",)}),
    ]


def test_the_column_of_ids_is_preferred_to_names(items_of) -> None:
    (item,) = items_of("items.csv", "product,product_id,genres\nTea,p1,Drink\n")
    assert item.id == "p1"


def test_a_second_column_of_a_known_kind_is_ignored(items_of) -> None:
    (item,) = items_of("items.csv", "item_id,title,name,year,release_year,genres\nx,A,B,1990,1991,Drama\n")
    assert item == Item("x", "A", ("Drama",), 1990)


def test_recbole_columns_are_kept_without_their_types(items_of) -> None:
    header = "item_id:token\tmovie_title:token_seq\tclass:token_seq\tcast:token_seq\tprice:float\n"
    (item,) = items_of("ml-100k.item", header + "1\tOdd One\tDrama War\tAnn Bob\t3.5\n")
    assert item == Item("1", "Odd One", ("Drama", "War"), None, {"cast": ("Ann", "Bob"), "price": ("3.5",)})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("movies.csv", "movieId,title,genres\n1,A (1990),Drama|War\n"),
        ("movies.dat", "1::A (1990)::Drama|War\n"),
    ],
)
def test_features_of_an_item_are_words(name: str, content: str, items_of) -> None:
    assert items_of(name, content)[0].features == {"genres": ("Drama", "War"), "year": ("1990",)}


def test_unknown_features_of_an_item_are_empty() -> None:
    assert Item("1", "A").features == {"genres": (), "year": ()}
    assert Item("1", "A", more={"brand": ("Alp",)}).features == {"genres": (), "year": (), "brand": ("Alp",)}


def test_a_title_is_kept_unchanged(items_of) -> None:
    items = items_of("items.csv", "item,title,year\nx,Moka pot,2019\ny, ,\n")
    assert items == [Item("x", "Moka pot", (), 2019), Item("y", "Item y")]
    assert items_of("items.csv", "item,genres\nx,Drink\n") == [Item("x", "Item x", ("Drink",))]


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("2008", 2008),
        ("2008.0", 2008),
        ("2019-05-01", 2019),
        ("1998-2003", 1998),
        ("01/02/1999", 1999),
        ("12345", None),
    ],
)
def test_the_year_of_own_items_is_read(text: str, year: int | None, items_of) -> None:
    assert items_of("items.csv", f"item,title,year\nx,A,{text}\n")[0].year == year


def test_only_the_published_layout_has_flags_for_genres(items_of) -> None:
    columns = [f"column{number}" for number in range(18)]
    content = ",".join(["item", "title", "genres", *columns]) + "\n" + ",".join(["x", "A", "Drink", *["1"] * 18]) + "\n"
    (item,) = items_of("items.csv", content)
    assert item.genres == ("Drink",) and item.more["column0"] == ("1",)
