"""Generates the synthetic sample `data/sample/`: invented films in MovieLens 1M's layout, and structured sequences.

Users change between moods. In each mood, a user prefers some films; after a film, its sequel is more likely. Therefore
a model that uses the history can beat a list of popular films. The seed is fixed, so the files are always the same.

    python -m tests.data.make_sample
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.registry import SAMPLE

USERS, FILMS, MOODS = 300, 150, 10
GENRES = ("Action", "Animation", "Comedy", "Crime", "Documentary", "Drama", "Horror", "Musical", "Romance", "Sci-Fi")
ADJECTIVES = ("Silent", "Golden", "Broken", "Distant", "Hidden", "Crimson", "Lonely", "Electric", "Paper", "Last")
NOUNS = ("Harbour", "Orchard", "Engine", "Letter", "Winter", "Garden", "Station", "Mirror", "Island", "Parade")
STAY, SEQUEL = 0.85, 0.6  # probabilities of keeping the mood, and of the film's sequel as the next film
START = 978_300_000  # seconds since 1970-01-01 UTC


def make_sample(folder: Path, seed: int = 20) -> None:
    """Writes `ratings.dat` and `movies.dat`."""
    random = np.random.default_rng(seed)
    film_moods = np.arange(FILMS) % MOODS
    charm = 1 / (1 + random.permutation(FILMS)) ** 0.7
    titles = [
        f"{ADJECTIVES[i % 10]} {NOUNS[i // 10 % 10]}{' II' if i >= 100 else ''} ({1960 + i % 40})" for i in range(FILMS)
    ]
    genres = [f"{GENRES[film_moods[i]]}|{GENRES[(film_moods[i] * 3 + i // MOODS) % 10]}" for i in range(FILMS)]
    movies = [
        f"{i + 1}::{title}::{'|'.join(dict.fromkeys(g.split('|')))}"
        for i, (title, g) in enumerate(zip(titles, genres, strict=True))
    ]
    ratings = [row for user in range(USERS) for row in _timeline(random, user, film_moods, charm)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "movies.dat").write_text("\n".join(movies) + "\n", encoding="latin-1")
    (folder / "ratings.dat").write_text("\n".join(ratings) + "\n", encoding="latin-1")


def _timeline(random: np.random.Generator, user: int, film_moods: np.ndarray, charm: np.ndarray) -> list[str]:
    """Returns the rows of one user, oldest first."""
    mood, time, film = int(random.integers(MOODS)), START + int(random.integers(10_000_000)), -1
    unseen = np.ones(FILMS, bool)
    rows = []
    for _ in range(int(random.integers(12, 45))):
        sequel = (film + MOODS) % FILMS
        if film >= 0 and unseen[sequel] and random.random() < SEQUEL:
            film = sequel
        else:
            mood = mood if random.random() < STAY else int(random.integers(MOODS))
            chances = charm * unseen * np.where(film_moods == mood, 1.0, 0.02)
            film = int(random.choice(FILMS, p=chances / chances.sum()))
        unseen[film] = False
        rows.append(f"{user + 1}::{film + 1}::{int(random.integers(1, 6))}::{time}")
        time += int(random.choice([0, 20, 45, 3600]))
    return rows


if __name__ == "__main__":
    make_sample(SAMPLE)
