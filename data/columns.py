"""Finds the columns of a log and of an items file by the names in their headers."""

from __future__ import annotations

from data.dataset import ACTIVITY, EVENT, GENRES, ITEM, RATING, TIMESTAMP, TITLE, USER, YEAR
from data.errors import DataError
from data.settings import DataSettings

# Names that are recognised without a declaration, in lower case, the most specific ones first: `product_id` is an id,
# and `product` beside it may be a name; `event_time` is a time, and `time` beside it may be a time of day.
ALIASES = {
    USER: (
        *("user_id", "userid", "user_id:token", "user", "visitor_id", "visitorid", "customer_id", "customerid"),
        *("reviewer_id", "reviewerid", "member_id", "account_id", "client_id", "session_id", "sessionid"),
        *("session_id:token", "session"),
    ),
    ITEM: (
        *("item_id", "itemid", "item_id:token", "item", "movie_id", "movieid", "product_id", "productid"),
        *("article_id", "track_id", "song_id", "book_id", "parent_asin", "asin", "sku", "movie", "product"),
    ),
    RATING: ("rating", "score", "rating:float", "overall", "stars"),
    TIMESTAMP: (
        *("timestamp", "timestamp:float", "ts", "event_time", "eventtime", "time", "unixreviewtime", "datetime"),
        *("created_at", "occurred_at", "date"),
    ),
    EVENT: ("event_type", "eventtype", "event", "behavior_type", "behavior", "action"),
    TITLE: ("title", "name", "movie_title", "movie_title:token_seq"),
    GENRES: ("genres", "genre", "class", "class:token_seq"),
    YEAR: ("year", "release_year", "release_year:token"),
}


def log_columns(where: str, names: list[str], settings: DataSettings) -> dict[str, str]:
    """Returns the name in the file of each declared or recognised column of a log.

    Args:
        where: place of the header, for errors.
        names: names of the file's columns.
        settings: the declared columns.

    Raises:
        DataError: a required or declared column is missing.
    """
    declared = settings.columns.model_dump(exclude_none=True)
    lower = {name.lower(): name for name in reversed(names)}
    columns: dict[str, str] = {}
    for column in (USER, ITEM, RATING, TIMESTAMP, EVENT):
        if column in declared:
            name = declared[column] if declared[column] in names else lower.get(declared[column].strip().lower())
            if name is None:
                raise DataError(
                    f"{where}: no column {declared[column]!r}, which data.columns.{column} names; the columns are "
                    f"{', '.join(names)[:200]}"
                )
            columns[column] = name
        elif name := next((lower[alias] for alias in ALIASES[column] if alias in lower), None):
            columns[column] = name
    if settings.timestamp.unit == "rows":
        columns.pop(TIMESTAMP, None)
    required = (USER, ITEM) if settings.timestamp.unit == "rows" else (USER, ITEM, TIMESTAMP)
    if missing := [column for column in required if column not in columns]:
        rows = "; --set data.timestamp.unit=rows takes the order of the rows" if missing == [TIMESTAMP] else ""
        raise DataError(
            f"{where}: no column for {', '.join(missing)} in the header {','.join(names)[:80]!r}; declare "
            f"{'it' if len(missing) == 1 else 'them'}, as in --set data.columns.{missing[0]}=NAME{rows}"
        )
    return columns | activity_columns(where, names, columns, settings)


def activity_columns(where: str, names: list[str], columns: dict[str, str], settings: DataSettings) -> dict[str, str]:
    """Returns the name in the file of each column that is an activity feature.

    Args:
        where: place of the header, for errors.
        names: names of the file's columns. The settings may omit the type after a colon, as in `price:float` of
            RecBole's files.
        columns: names in the file of the log's other columns, by the project's names; the settings may use both names.
        settings: the activity features.

    Raises:
        DataError: the file has no such column.
    """
    known = {**columns, **{name.partition(":")[0].lower(): name for name in names}}
    known |= {**{name.lower(): name for name in names}, **{name: name for name in names}}
    chosen: dict[str, str] = {}
    for name in settings.activity:
        file_name = known.get(name) or known.get(name.strip().lower())
        if file_name is None:
            raise DataError(
                f"{where}: no column {name!r}, which trainer.activity_features names; the columns are "
                f"{', '.join(names or columns)[:200]}"
            )
        chosen[ACTIVITY + name] = file_name
    return chosen


def item_columns(where: str, names: list[str], settings: DataSettings) -> tuple[dict[str, int], dict[str, int]]:
    """Returns the positions of the declared or recognised columns of an items file, and those of its other columns.

    Args:
        where: place of the header, for errors.
        names: names of the file's columns, in lower case.
        settings: the declared columns.

    Raises:
        DataError: the column of the item or a declared column is missing.
    """
    declared = settings.items.columns.model_dump(exclude_none=True)
    columns: dict[str, int] = {}
    for column in (ITEM, TITLE, GENRES, YEAR):
        if column in declared:
            if declared[column].strip().lower() not in names:
                raise DataError(
                    f"{where}: no column {declared[column]!r}, which data.items.columns.{column} names; the columns "
                    f"are {', '.join(names)[:200]}"
                )
            columns[column] = names.index(declared[column].strip().lower())
        elif alias := next((alias for alias in ALIASES[column] if alias in names), None):
            columns[column] = names.index(alias)
    if ITEM not in columns:
        raise DataError(
            f"{where}: no column for item in the header {', '.join(names)[:80]!r}; declare it, as in --set "
            "data.items.columns.item=NAME"
        )
    known = {alias for column in (ITEM, TITLE, GENRES, YEAR) for alias in ALIASES[column]}
    known.update(names[position] for position in columns.values())
    others = {name.partition(":")[0]: position for position, name in enumerate(names) if name and name not in known}
    return columns, others
