"""Small datasets in every shape."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

Files = dict[str, str | bytes]

SHAPES: dict[str, Files] = {
    "ml-1m": {
        "ratings.dat": "1::10::5::978300760\n1::20::3::978300761\n2::10::4::978300762\n",
        "movies.dat": "10::Toy Story (1995)::Animation|Comedy\n20::Misérables, Les (1935)::Drama\n".encode("latin-1"),
        "users.dat": "1::F::1::10::48067\n",
    },
    "ml-10m": {
        "ratings.dat": "1::10::5::978300760\n1::20::3.5::978300761\n2::10::4::978300762\n",
        "movies.dat": "10::Toy Story (1995)::Animation|Comedy\n20::Misérables, Les (1935)::Drama\n",
    },
    "ml-100k": {
        "u.data": "1\t10\t5\t978300760\n1\t20\t3\t978300761\n2\t10\t4\t978300762\n",
        "u.item": (
            "10|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
            "20|Misérables, Les (1935)|01-Jan-1935||http://x|0|0|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0\n"
        ).encode("latin-1"),
    },
    "ml-latest": {
        "ratings.csv": "userId,movieId,rating,timestamp\n1,10,5.0,978300760\n1,20,3.5,978300761\n2,10,4.0,978300762\n",
        "movies.csv": (
            'movieId,title,genres\n10,Toy Story (1995),Animation|Comedy\n20,"Misérables, Les (1935)",Drama\n'
        ),
        "tags.csv": "userId,movieId,tag,timestamp\n1,10,fun,978300760\n",
    },
    "recbole": {
        "ml-100k.inter": (
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
            "1\t10\t5\t978300760\n1\t20\t3\t978300761\n2\t10\t4\t978300762\n"
        ),
        "ml-100k.item": (
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
            "10\tToy Story\t1995\tAnimation Comedy\n20\tMisérables, Les\t1935\tDrama\n"
        ),
    },
    "own": {
        "log.csv": "ts,user_id,item_id\n978300760,1,10\n978300761,1,20\n978300762,2,10\n",
        "items.csv": 'item,title,genres,year\n10,Toy Story,Animation|Comedy,1995\n20,"Misérables, Les",Drama,1935\n',
    },
}


def as_bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Returns a function that writes files into a folder."""

    def _write(files: Files, folder: str = "given") -> Path:
        for name, content in files.items():
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(as_bytes(content))
        return tmp_path / folder

    return _write


@pytest.fixture
def write_zip(tmp_path: Path) -> Callable[..., Path]:
    """Returns a function that writes files into a zip."""

    def _write(files: Files, name: str = "given.zip", inside: str = "") -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in files.items():
                archive.writestr(inside + member, as_bytes(content))
        return path

    return _write


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest) -> str:
    """The name of each shape."""
    return str(request.param)


@pytest.fixture
def shapes() -> dict[str, Files]:
    """The files of each shape; all hold the same three ratings of the same two items."""
    return SHAPES
