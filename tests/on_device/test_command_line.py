"""The command line `python -m on_device`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import on_device
from on_device import catalogue, memory
from on_device.__main__ import main
from on_device.recommender import Recommender


def test_recommend_prints_a_table(pushed_once: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "--model", str(pushed_once), "Toy Story (1995)", "--k", "3", "--deny", "1005"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "    title                  score  genres      because of",
        "  1 Toy Story 2 (1999)    12.000  Drama, War  Toy Story (1995)",
        "  2 Léon (1994)           11.000  Drama, War  Toy Story (1995)",
        "  3 Heat (1986)            9.000  Drama, War  Toy Story (1995)",
    ]


def test_similar_prints_a_table_or_json(pushed_once: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["similar", "--model", str(pushed_once), "heat 1995", "--k", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "    title           score  genres",
        "  1 Léon (1994)     1.000  Drama, War",
        "  2 Heat (1986)     1.000  Drama, War",
    ]
    assert main(["similar", "--model", str(pushed_once), "1005", "--k", "1", "--json"]) == 0
    assert [item["id"] for item in json.loads(capsys.readouterr().out)] == ["1004"]


def test_the_default_number_of_items_is_at_most_that_of_the_model(pushed_once: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("on_device.__main__.DEFAULT_K", 50)
    assert main(["recommend", "--model", str(pushed_once), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == Recommender.load(pushed_once).top_k == 10


def test_the_id_of_one_item_and_the_title_of_another_is_an_error(
    pushed: Path, change_items: Callable[..., None], capsys
) -> None:
    change_items(lambda items: items[7].update(title="1005"))
    assert main(["recommend", "--model", str(pushed), "1005"]) == 1
    assert capsys.readouterr().err == (
        'error: "1005" is the id of "Heat (1995)" and the title of the item with the id 1009; give the title '
        '"Heat (1995)" or the id 1009 instead\n'
    )


def test_genre_restricts_the_recommendations(pushed_once: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = Recommender.load(pushed_once)
    for genre in {name for item in model.items for name in item.genres}:
        assert main(["recommend", "--model", str(pushed_once), "--genre", genre, "--json"]) == 0
        items = json.loads(capsys.readouterr().out)
        assert items and all(genre in item["genres"] for item in items)
    assert main(["recommend", "--model", str(pushed_once), "--genre", "Opera"]) == 1
    assert capsys.readouterr().err.startswith('error: no genre "Opera" in the catalogue; genres: ')


def test_the_year_is_shown_once(pushed: Path, change_items: Callable[..., None], capsys) -> None:
    titles = ("Heat (1995) ", "Heat", "2001: A Space Odyssey", "(500) Days", "No year")

    def change(items: list[dict[str, Any]]) -> None:
        for item, title, year in zip(items, titles, (1995, 1995, 1968, 2009, None), strict=False):
            item.update(title=title, year=year)

    change_items(change)
    assert main(["recommend", "--model", str(pushed), "--k", "5"]) == 0
    shown = [line[4:].split("  ")[0] for line in capsys.readouterr().out.splitlines()[1:]]
    assert shown == ["Heat (1995)", "Heat (1995)", "2001: A Space Odyssey (1968)", "(500) Days (2009)", "No year"]


def test_recommend_prints_json(pushed_once: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "--model", str(pushed_once), "--json", "--k", "1", "1003"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "index": 4,
            "id": "1004",
            "title": "Léon (1994)",
            "year": None,
            "genres": ["Drama", "War"],
            "score": 12.0,
            "because": "Toy Story 2 (1999)",
        }
    ]


@pytest.mark.parametrize(
    ("title", "message"),
    [
        ("toy story 3", 'no title or id "toy story 3" in the catalogue; did you mean "Toy Story'),
        ("Heat", '; did you mean "Heat (1995)" or "Heat (1986)"?'),
        ("Leon (1993)", '; did you mean "Léon (1994)"'),
        ("???", 'error: no title or id "???" in the catalogue\n'),
    ],
)
def test_an_unknown_title_is_an_error_with_suggestions(
    pushed_once: Path, capsys: pytest.CaptureFixture[str], title: str, message: str
) -> None:
    assert main(["recommend", "--model", str(pushed_once), "Toy Story (1995)", title]) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(("text", "code"), [("...", 0), ("!!!", 1), ("", 1)])
def test_a_title_without_words_is_found_only_by_the_same_text(
    pushed: Path, change_items: Callable[..., None], capsys, text: str, code: int
) -> None:
    change_items(lambda items: items[7].update(title="..."))
    assert main(["similar", "--model", str(pushed), text]) == code
    assert capsys.readouterr().err == (f'error: no title or id "{text}" in the catalogue\n' if code else "")


@pytest.mark.parametrize("option", [["--deny", "nothing like it"], ["--k", "0"], ["--k", "11"]])
def test_an_invalid_request_is_an_error(
    pushed_once: Path, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    assert main(["recommend", "--model", str(pushed_once), *option]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_the_module_prints_only_its_result(pushed_once: Path) -> None:
    command = [sys.executable, "-m", "on_device", "recommend", "--model", str(pushed_once), "--json", "--k", "1"]
    root = Path(on_device.__file__).parents[1]
    process = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert [item["id"] for item in json.loads(process.stdout)] == ["1002"]
    assert process.stderr == ""


def test_bench_says_if_the_system_does_not_report_memory(
    pushed_once: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "measure", lambda folder: None)
    assert main(["bench", "--model", str(pushed_once), "--runs", "1"]) == 0
    assert "memory   not measured: this system does not report it\n" in capsys.readouterr().out
    assert main(["bench", "--model", str(pushed_once), "--runs", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["memory_bytes"] is None


def test_a_recommendation_imports_only_what_it_needs(pushed_once: Path) -> None:
    script = f"""if True:
        import sys
        from on_device.__main__ import main
        main(["recommend", "--model", {str(pushed_once)!r}, "1005"])
        print(*sys.modules)
    """
    root = Path(on_device.__file__).parents[1]
    process = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    unneeded = {"difflib", "http.server", "on_device.demo", "subprocess", "urllib.request", "webbrowser"}
    assert not unneeded & set(process.stdout.split())


def test_a_missing_model_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--model", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: holds no pushed model")


def test_bench_measures_size_latency_and_memory(pushed_once: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--model", str(pushed_once), "--runs", "20", "--json"]) == 0
    measurements = json.loads(capsys.readouterr().out)
    assert measurements["size_bytes"] == (pushed_once / "2" / "model.tflite").stat().st_size
    latency = measurements["latency_us"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"]
    assert measurements["latency_without_xnnpack_us"]["p50"] > 0
    memory = measurements["memory_bytes"]
    assert 0 < memory["growth"] <= memory["peak_growth"] < memory["before"]
    assert main(["bench", "--model", str(pushed_once), "--runs", "20"]) == 0
    printed = capsys.readouterr().out
    assert "one thread, 20 random histories of 4 items" in printed
    assert re.search(r"memory   \+\d+\.\d MB to load the model and recommend, \+\d+\.\d MB at the peak\n", printed)


@pytest.mark.parametrize("arguments", [[], ["bench", "--runs", "0"], ["recommend", "--k", "many"]])
def test_invalid_arguments_print_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: python -m on_device" in capsys.readouterr().err


def test_titles_with_the_words_are_suggested_first(pushed_once: Path) -> None:
    suggest = Recommender.load(pushed_once).catalogue.suggest
    assert [item.title for item in suggest("TOY story")][:2] == ["Toy Story (1995)", "Toy Story 2 (1999)"]
    assert suggest("") == []


def test_only_titles_of_popular_items_are_compared(pushed_once: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = Recommender.load(pushed_once).catalogue
    rare = loaded.items[-1].title
    misspelt = rare[1:-1] + "q"
    assert rare in [item.title for item in loaded.suggest(misspelt)]
    monkeypatch.setattr(catalogue, "MAX_COMPARED", 1)
    assert rare not in [item.title for item in loaded.suggest(misspelt)]
