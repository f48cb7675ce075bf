"""Properties of the samples that a compiler does not check; `tests/conformance` compiles and runs them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import on_device

SAMPLES = Path(on_device.__file__).parent / "samples"
ANDROID, IOS = SAMPLES / "android", SAMPLES / "ios"
SOURCES = ANDROID / "app/src/main/kotlin/recommender"


def test_xnnpack_is_enabled() -> None:
    assert ".setUseXNNPACK(true)" in (SOURCES / "Recommender.kt").read_text(encoding="utf-8")
    swift = (IOS / "Sources/Recommender/Recommender.swift").read_text(encoding="utf-8")
    assert "options.isXNNPackEnabled = true" in swift


def test_the_manifest_names_the_activity() -> None:
    manifest = ElementTree.parse(ANDROID / "app/src/main/AndroidManifest.xml").getroot()
    name = "{http://schemas.android.com/apk/res/android}name"
    (activity,) = (element.get(name) for element in manifest.iter("activity"))
    package, _, class_name = str(activity).rpartition(".")
    source = (SOURCES / f"{class_name}.kt").read_text(encoding="utf-8")
    assert f"package {package}\n" in source and f"class {class_name} : Activity()" in source
    permissions = [element.get(name) for element in manifest.iter("uses-permission")]
    assert permissions == ["android.permission.INTERNET"]


def test_the_build_has_no_library_that_google_play_rejects() -> None:
    build = (ANDROID / "app/build.gradle.kts").read_text(encoding="utf-8")
    libraries = re.findall(r'implementation\("(.*?):[\d.]+"\)', build)
    assert libraries == ["com.google.ai.edge.litert:litert"]
