"""The demo in Chromium, compared with the Python client.

Screenshots are saved in the folder TEST_ARTIFACTS, by default output/test-artifacts.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import latency
from on_device.artifact import open_artifact
from on_device.demo.server import DemoServer
from on_device.recommender import Recommender
from tests.on_device.artifacts import change_info
from tests.pages import DESKTOP, PHONE, collect_errors, save_screenshot

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
Browser, Page, expect = playwright.Browser, playwright.Page, playwright.expect

PICKS, ANSWERS, OPTIONS = "#picks .chip", "#answers .answer", "#found [role=option]"


@pytest.fixture
def errors() -> list[str]:
    """Errors of the page, and its requests to other servers."""
    return []


@pytest.fixture
def visit(
    browser: Browser, runtime: Path, serve: Callable[..., DemoServer], errors: list[str]
) -> Iterator[Callable[..., Page]]:
    """Opens the demo of a version, and checks at the end that there were no errors."""
    contexts = []

    def open_page(
        folder: Path, prepare: str = "", ready: bool = True, runtime: Path = runtime, **options: object
    ) -> Page:
        server = serve(folder, runtime)
        context = browser.new_context(**{**DESKTOP, "reduced_motion": "reduce", **options})
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        collect_errors(page, server.url, errors)
        page.add_init_script(prepare)
        page.goto(server.url)
        if ready:
            page.wait_for_selector("#demo[aria-busy=false]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def _titles(page: Page, entries: str) -> list[str]:
    """Returns titles as in the catalogue."""
    titles = page.locator(entries).locator(":scope .title, :scope .grip")
    return [title.get_attribute("title") for title in titles.all()]


def _pick(page: Page, title: str) -> None:
    """Searches for a title and presses Enter."""
    page.fill("#search", title)
    page.press("#search", "Enter")


def _expect_picks(page: Page, *titles: str) -> None:
    expect(page.locator(f"{PICKS} .grip")).to_have_text(list(titles))


def _expect_recommendations(page: Page, client: Recommender, picks: int) -> None:
    """Checks that the page recommends the same items for its picks as the client."""
    expect(page.locator(PICKS)).to_have_count(picks)
    history = [client.catalogue.titled(title) for title in _titles(page, PICKS)]
    assert len(history) == picks
    expected = client.recommend(history, 10)
    expect(page.locator(f"{ANSWERS} .title")).to_have_count(10)
    assert _titles(page, ANSWERS) == [item.title for item in expected]
    scores = np.array([item.score for item in expected])
    shares = np.round(100 * (scores - scores[-1]) / (scores[0] - scores[-1])).astype(int)
    shown = [int(text.split()[1]) for text in page.locator(f"{ANSWERS} .score").all_text_contents()]
    assert shown == pytest.approx(shares.tolist(), abs=1)


@pytest.mark.parametrize("model", ["films", "rated_films"])
def test_the_page_recommends_the_items_of_the_python_client(
    model: str, visit: Callable[..., Page], request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(model)
    client, page = Recommender.load(folder), visit(folder)
    _expect_recommendations(page, client, 0)
    expect(page.locator("#answers-heading")).to_have_text("Popular with everyone")
    for picks, title in enumerate(("Amelie", "matrix", "toy 2"), start=1):
        _pick(page, title)
        _expect_recommendations(page, client, picks)
    expect(page.locator("#answers-heading")).to_have_text("Recommended for you")
    _expect_picks(page, "Amélie", "The Matrix", "Toy Story 2")
    save_screenshot(page, f"demo-desktop-{model}")
    # Until the history has four items more than the model uses.
    for picks in range(4, client.history_length + 5):
        page.locator(ANSWERS).nth(picks % 10).click()
        _expect_recommendations(page, client, picks)
    expect(page.locator("#picks-note")).to_have_text("The last 5 of 9 count.")
    page.click("#clear")
    _expect_recommendations(page, client, 0)


def test_search_finds_titles_by_their_words(films: Path, visit: Callable[..., Page]) -> None:
    page = visit(films)
    expect(page.locator(OPTIONS)).to_have_count(40)
    page.fill("#search", "story toy")
    assert _titles(page, OPTIONS) == ["Toy Story (1995)", "Toy Story 2 (1999)"]
    page.fill("#search", "LEON prof")
    assert _titles(page, OPTIONS) == ["Léon: The Professional (1994)"]
    page.fill("#search", "schindlers")
    expect(page.locator(f"{OPTIONS} .title")).to_have_text(["Schindler's List"])
    page.fill("#search", "bold")
    expect(page.locator(f"{OPTIONS} .title")).to_have_text(["<b>Bold</b> & Co."])
    page.fill("#search", "atrix")
    expect(page.locator("#found-note")).to_have_text("No title has these words")
    page.press("#search", "Enter")
    page.press("#search", "Escape")
    expect(page.locator("#search")).to_have_value("")
    expect(page.locator(OPTIONS)).to_have_count(40)
    _expect_picks(page)


def test_the_demo_works_with_the_keyboard(films: Path, visit: Callable[..., Page]) -> None:
    client, page = Recommender.load(films), visit(films)
    press = page.keyboard.press
    press("Tab")
    expect(page.locator("#search")).to_be_focused()
    press("ArrowDown")
    press("ArrowDown")
    expect(page.locator("#search")).to_have_attribute("aria-activedescendant", "option-3")
    press("Enter")
    expect(page.locator("#announcement")).to_contain_text("Added The Matrix. First of the list:")
    press("Tab")
    expect(page.get_by_role("button", name="Clear")).to_be_focused()
    press("Shift+Tab")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("toy")
    press("ArrowDown")
    press("ArrowDown")
    press("Enter")
    page.keyboard.type("nik")
    press("Enter")
    _expect_picks(page, "The Matrix", "Toy Story 2", "Nikita")
    page.get_by_role("button", name="Move The Matrix later").focus()
    press("Enter")
    _expect_picks(page, "Toy Story 2", "The Matrix", "Nikita")
    expect(page.get_by_role("button", name="Move The Matrix later")).to_be_focused()
    press("ArrowRight")
    press("ArrowRight")
    _expect_picks(page, "Toy Story 2", "Nikita", "The Matrix")
    press("ArrowLeft")
    _expect_picks(page, "Toy Story 2", "The Matrix", "Nikita")
    _expect_recommendations(page, client, 3)
    press("Delete")
    _expect_picks(page, "Toy Story 2", "Nikita")
    expect(page.locator("#announcement")).to_contain_text("Removed The Matrix")
    expect(page.locator(PICKS).nth(1).locator(":focus")).to_have_count(1)
    page.locator(ANSWERS).nth(2).focus()
    press("Enter")
    expect(page.locator(PICKS)).to_have_count(3)
    expect(page.locator(ANSWERS).nth(2)).to_be_focused()
    _expect_recommendations(page, client, 3)
    page.get_by_role("button", name="Clear").focus()
    press("Enter")
    expect(page.locator("#picks-heading")).to_be_focused()
    _expect_recommendations(page, client, 0)


def test_the_demo_works_with_the_pointer(films: Path, visit: Callable[..., Page]) -> None:
    client, page = Recommender.load(films), visit(films)
    for title in ("Toy Story", "The Matrix", "Nikita"):
        page.locator(OPTIONS).filter(has=page.get_by_text(title, exact=True)).click()
    _expect_picks(page, "Toy Story", "The Matrix", "Nikita")
    page.locator(f"{PICKS} .grip").nth(2).hover()
    page.mouse.down()
    page.locator(f"{PICKS} .grip").nth(0).hover()
    _expect_picks(page, "Nikita", "Toy Story", "The Matrix")  # Before it is released.
    page.mouse.up()
    page.locator(f"{PICKS} .grip").nth(2).hover()  # After the release, nothing is dragged.
    _expect_picks(page, "Nikita", "Toy Story", "The Matrix")
    _expect_recommendations(page, client, 3)
    page.get_by_role("button", name="Remove Toy Story").click()
    chosen = page.locator(f"{OPTIONS}[aria-selected=true]")
    expect(chosen).to_have_count(2)
    chosen.filter(has_text="Nikita").click()
    _expect_picks(page, "The Matrix")
    _expect_recommendations(page, client, 1)


def test_moves_are_animated(films: Path, visit: Callable[..., Page]) -> None:
    # Counted, because an animation may end before a slow machine looks for it.
    count = """globalThis.animations = 0;
        const { animate } = Element.prototype;
        Element.prototype.animate = function (...options) {
            animations++;
            return animate.apply(this, options);
        };"""
    client, page = Recommender.load(films), visit(films, count, reduced_motion="no-preference")
    for picks in range(1, 4):
        page.locator(ANSWERS).nth(3).click()
        _expect_recommendations(page, client, picks)
    assert page.evaluate("animations") > 0


def test_the_page_shows_facts_about_the_model_and_the_runtime(films: Path, visit: Callable[..., Page]) -> None:
    page = visit(films)
    for title in ("heat", "nikita"):
        _pick(page, title)
    page.click("summary")
    expect(page.locator("#count")).to_have_text("3")
    expect(page.locator("#model")).to_have_text(re.compile(r"^films, version 3, 0\.\d\d MB$"))
    expect(page.locator("#sha256")).to_have_text(re.compile(r"^[0-9a-f]{8}…, verified$"))
    expect(page.locator("#last")).to_have_text(re.compile(r"^(less than 0\.1|\d+\.\d)$"))
    expect(page.locator("#program")).to_contain_text("9.4 MB")
    # An isolated page has a precise clock.
    assert page.evaluate("crossOriginIsolated")


def test_reasons_are_those_of_the_python_client(films: Path, visit: Callable[..., Page]) -> None:
    client, page = Recommender.load(films), visit(films)
    for title in ("amelie", "matrix", "nikita"):
        _pick(page, title)
    _expect_recommendations(page, client, 3)
    history = [client.catalogue.titled(title) for title in _titles(page, PICKS)]
    for rank, item in enumerate(client.recommend(history, 10)):
        best = client.because(history, item.id)[0]
        expected = f"Because of {re.sub(r' .[0-9]{4}.$', '', best.item.title)}" if best.contribution > 0 else ""
        expected = expected.replace("Matrix, The", "The Matrix")
        expect(page.locator(f"{ANSWERS} .reason").nth(rank)).to_have_text(expected)


def test_the_page_shows_similar_items_a_genre_and_popular_items(films: Path, visit: Callable[..., Page]) -> None:
    client, page = Recommender.load(films), visit(films)
    _pick(page, "heat")
    third = client.recommend([client.catalogue.titled("Heat (1995)")], 10)[2]
    page.locator("#answers .more").nth(2).click()
    expect(page.locator("#answers-heading")).to_be_focused()
    expect(page.locator("#answers-heading")).to_contain_text("Similar to ")
    expected = client.similar(third.id, deny=[client.catalogue.titled("Heat (1995)")])
    expect(page.locator(ANSWERS).first).to_contain_text(re.sub(r" .[0-9]{4}.$", "", expected[0].title))
    assert _titles(page, ANSWERS) == [item.title for item in expected]
    page.get_by_role("button", name="Back").click()
    _expect_recommendations(page, client, 1)
    page.get_by_label("Genre").select_option("Romance")
    expect(page.locator(f"{ANSWERS} .genres").first).to_have_text("Romance")
    allowed = [item for item in client.items if "Romance" in item.genres]
    expected = client.recommend([client.catalogue.titled("Heat (1995)")], 10, allow=allowed)
    assert _titles(page, ANSWERS) == [item.title for item in expected]
    page.get_by_label("Genre").select_option("")
    page.get_by_text("Popular", exact=True).click()
    expect(page.locator("#answers-heading")).to_have_text("Popular with everyone")
    assert "Heat (1995)" not in _titles(page, ANSWERS)
    assert _titles(page, ANSWERS)[0] == client.recommend([], 1)[0].title


def test_the_address_contains_the_picks(films: Path, visit: Callable[..., Page]) -> None:
    client, page = Recommender.load(films), visit(films)
    for title in ("amelie", "matrix"):
        _pick(page, title)
    _expect_recommendations(page, client, 2)
    address = page.url
    assert address.endswith("#picks=1004%2C1003")
    second_page = page.context.new_page()
    second_page.goto(address.replace("1003", "1003%2Cgone"))
    second_page.wait_for_selector("#demo[aria-busy=false]")
    _expect_picks(second_page, "Amélie", "The Matrix")
    _expect_recommendations(second_page, client, 2)
    damaged_page = page.context.new_page()
    damaged_page.goto(address.replace("1003", "a%25C3%2C%25%2C1003"))
    damaged_page.wait_for_selector("#demo[aria-busy=false]")
    _expect_picks(damaged_page, "Amélie", "The Matrix")
    _expect_recommendations(damaged_page, client, 2)


@pytest.mark.parametrize("options", [DESKTOP, {"viewport": {"width": 1000, "height": 860}}, PHONE])
def test_long_texts_stay_in_the_cards(options: Any, films: Path, tmp_path: Path, visit: Callable[..., Page]) -> None:
    copy = Path(shutil.copytree(films, tmp_path / "films"))
    content = json.loads((copy / "items.json").read_text(encoding="utf-8"))
    for item in content["items"]:
        category = "Clothing, Shoes & Jewelry > Women > Accessories > Sunglasses & Eyewear Accessories"
        item["genres"], item["title"] = [category, "x" * 60], f"{item['title']}, a film with a long title"
    (copy / "items.json").write_text(json.dumps(content), encoding="utf-8")
    change_info(copy)
    page = visit(copy, **options)
    page.locator(OPTIONS).nth(1).click()
    page.get_by_label("Genre").select_option("x" * 60)
    expect(page.locator(".reason", has_text="Because of").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == options["viewport"]["width"]
    outside = """(elements) => elements.filter((element) => {
        const [inner, outer] = [element, element.closest(".card")].map((part) => part.getBoundingClientRect());
        return inner.left < outer.left || inner.right > outer.right;
    }).length"""
    assert page.locator("#answers button, #controls select").evaluate_all(outside) == 0
    if options is PHONE:
        clipped = "(reasons) => reasons.filter((reason) => reason.scrollWidth > reason.clientWidth).length"
        assert page.locator(".reason").evaluate_all(clipped) == 0
    save_screenshot(page, f"demo-long-texts-{options['viewport']['width']}")


@pytest.mark.parametrize("options", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_touch_targets_are_large_and_the_footer_is_below_the_answers(
    options: Any, films: Path, visit: Callable[..., Page]
) -> None:
    page = visit(films, **options)
    for title in ("heat", "nikita", "amelie"):
        _pick(page, title)
    expect(page.locator(PICKS)).to_have_count(3)
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, select, summary, .segments span, [role=option]")]
            .filter((element) => element.checkVisibility())
            .filter((element) => {
                const { width, height } = element.getBoundingClientRect();
                return Math.min(width, height) < 44;
            })
            .map((element) => element.outerHTML)"""
    )
    assert small == []
    assert page.evaluate("getComputedStyle(document.getElementById('status')).position") == "static"
    last, footer = page.locator(ANSWERS).last.bounding_box(), page.locator("#status").bounding_box()
    assert last["y"] + last["height"] <= footer["y"]


def test_the_page_sends_no_requests(films: Path, visit: Callable[..., Page], errors: list[str]) -> None:
    client, page = Recommender.load(films), visit(films)
    page.context.set_offline(True)
    _pick(page, "heat")
    page.locator(ANSWERS).first.click()
    _expect_recommendations(page, client, 2)
    expect(page.locator("#requests")).to_have_text("0")
    page.context.set_offline(False)
    # The counter works, and the browser blocks requests to other servers.
    page.evaluate("fetch('favicon.svg').then((response) => response.text())")
    expect(page.locator("#requests")).to_have_text("1")
    assert page.evaluate(
        """async () => {
            const violation = new Promise((resolve) => {
                const report = ({ violatedDirective }) => resolve(violatedDirective);
                addEventListener('securitypolicyviolation', report, { once: true });
            });
            navigator.sendBeacon('http://localhost:9/');
            return violation;
        }"""
    ).startswith("connect-src")
    assert len(errors) == 1 and "Content Security Policy" in errors.pop()
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_only_the_handle_of_a_pick_can_be_dragged_by_touch(films: Path, visit: Callable[..., Page]) -> None:
    page = visit(films, **PHONE)
    for index in (0, 1):
        page.locator(OPTIONS).nth(index).tap()
    _expect_picks(page, "Toy Story", "The Matrix")
    page.evaluate("document.getElementById('picks').scrollTo(0, 0)")
    devtools = page.context.new_cdp_session(page)

    def drag(part: str) -> None:
        start = page.locator(PICKS).nth(0).locator(part).bounding_box()
        end = page.locator(PICKS).nth(1).bounding_box()
        y = start["y"] + start["height"] / 2
        across = (start["x"] + start["width"] / 2, end["x"] + 20, end["x"] + 30)
        for kind, x in zip(("touchStart", "touchMove", "touchMove"), across, strict=True):
            devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    drag(".remove")  # Scrolls at most.
    _expect_picks(page, "Toy Story", "The Matrix")
    drag(".handle")
    _expect_picks(page, "The Matrix", "Toy Story")


def is_dark(page: Page) -> bool:
    """Returns whether the background of a page is dark."""
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", background))) < 384


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_demo_works_on_a_phone(scheme: str, films: Path, visit: Callable[..., Page]) -> None:
    client, page = Recommender.load(films), visit(films, color_scheme=scheme, **PHONE)
    for index in (0, 2):
        page.locator(OPTIONS).nth(index).tap()
    page.locator(ANSWERS).nth(1).tap()
    _expect_recommendations(page, client, 3)
    save_screenshot(page, f"demo-phone-{scheme}")
    page.fill("#search", "toy")
    page.locator(OPTIONS).nth(1).tap()
    _expect_recommendations(page, client, 4)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    assert is_dark(page) == (scheme == "dark")


def test_the_demo_works_in_a_dark_desktop_window(films: Path, visit: Callable[..., Page]) -> None:
    page = visit(films, color_scheme="dark")
    _pick(page, "heat")
    expect(page.locator(PICKS)).to_have_count(1)
    save_screenshot(page, "demo-desktop-dark")
    assert is_dark(page)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.tflite", "model/model.tflite: not the file that was pushed"),
        ("items.json", "model/items.json: not the file that was pushed"),
    ],
)
def test_a_damaged_file_is_an_error(
    name: str, message: str, films: Path, tmp_path: Path, visit: Callable[..., Page]
) -> None:
    copy = Path(shutil.copytree(films, tmp_path / "films"))
    page = visit(copy)
    with (copy / name).open("ab") as file:
        file.write(b" ")
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text(message)
    expect(page.locator("#demo")).to_be_hidden()
    save_screenshot(page, f"demo-damaged-{name}")


def test_a_missing_file_is_an_error(films: Path, tmp_path: Path, visit: Callable[..., Page], errors: list[str]) -> None:
    copy = Path(shutil.copytree(films, tmp_path / "films"))
    page = visit(copy)
    (copy / "items.json").unlink()
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("model/items.json: missing (404)")
    assert len(errors) == 1 and "404" in errors.pop()


def test_a_browser_without_webassembly_is_an_error(films: Path, visit: Callable[..., Page]) -> None:
    page = visit(films, "delete globalThis.WebAssembly", ready=False)
    expect(page.get_by_role("alert")).to_contain_text("This browser has no WebAssembly")


def test_a_runtime_that_does_not_load_is_an_error(films: Path, fake_runtime: Path, visit: Callable[..., Page]) -> None:
    page = visit(films, ready=False, runtime=fake_runtime)
    expect(page.get_by_role("alert")).to_contain_text("The recommender could not be started: ")


def test_the_benchmark_times_answers_in_the_page(browser, films, runtime, monkeypatch):
    monkeypatch.setattr(latency, "BROWSER_BATCH", 3)
    page = browser.new_page()
    assert 0 < latency._browser_milliseconds(page, open_artifact(films)) < 1000
    page.close()
