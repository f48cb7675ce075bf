"""Downloads the jars that compile and run the Android sample from Maven Central, pinned by checksum, into the cache."""

from __future__ import annotations

import hashlib
import io
import os
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from on_device.command_line import default_cache_dir

CENTRAL = "https://repo.maven.apache.org/maven2"
TIMEOUT = 60  # seconds without a response
# The compiler and its dependencies.
COMPILER = {
    "org/jetbrains/kotlin/kotlin-compiler-embeddable/2.2.0/kotlin-compiler-embeddable-2.2.0.jar": (
        "b2f743ea5ba12f69e0f35e5d8d46069d74c8e2861087548a7e0e14a784bc4cf1"
    ),
    "org/jetbrains/kotlin/kotlin-stdlib/2.2.0/kotlin-stdlib-2.2.0.jar": (
        "65d12d85a3b865c160db9147851712a64b10dadd68b22eea22a95bf8a8670dca"
    ),
    "org/jetbrains/kotlin/kotlin-script-runtime/2.2.0/kotlin-script-runtime-2.2.0.jar": (
        "4ed97fd1e0c9bb1d0948ed5e63cc91456313a59518295b92b2c1514aef556150"
    ),
    "org/jetbrains/kotlin/kotlin-reflect/1.6.10/kotlin-reflect-1.6.10.jar": (
        "3277ac102ae17aad10a55abec75ff5696c8d109790396434b496e75087854203"
    ),
    "org/jetbrains/kotlin/kotlin-daemon-embeddable/2.2.0/kotlin-daemon-embeddable-2.2.0.jar": (
        "a26cc8e2d8619197cc4d115bea7766e9aa8e0f1e7876ea044ee1b9f305654601"
    ),
    "org/jetbrains/kotlinx/kotlinx-coroutines-core-jvm/1.8.0/kotlinx-coroutines-core-jvm-1.8.0.jar": (
        "9860906a1937490bf5f3b06d2f0e10ef451e65b95b269f22daf68a3d1f5065c5"
    ),
    "org/jetbrains/annotations/13.0/annotations-13.0.jar": (
        "ace2a10dc8e2d5fd34925ecac03e4988b2c0f851650c94b8cef49ba1bd111478"
    ),
}
STDLIB = "org/jetbrains/kotlin/kotlin-stdlib/2.2.0/kotlin-stdlib-2.2.0.jar"
# Android 8.0, the oldest version that the sample supports.
ANDROID = "org/robolectric/android-all/8.0.0_r4-robolectric-r1/android-all-8.0.0_r4-robolectric-r1.jar"
TFLITE = "org/tensorflow/tensorflow-lite/2.16.1/tensorflow-lite-2.16.1.aar"
TFLITE_API = "org/tensorflow/tensorflow-lite-api/2.16.1/tensorflow-lite-api-2.16.1.aar"
JSON = "org/json/json/20231013/json-20231013.jar"
LIBRARIES = {
    ANDROID: "3707dc100381e3bbcc57b85255fd313ae20875fc65cf3130c47e86f044ad77f0",
    TFLITE: "34b065817e294e7dd3569504e8b9454938ceae453b6a459da54d5f6e45d3c94e",
    TFLITE_API: "885b95bc9e47a4aa5cf8e71523aed9b05e397cfef1ea09773f13fea8b649fcee",
    JSON: "0f18192df289114e17aa1a0d0a7f8372cc9f5c7e4f7e39adcf8906fe714fa7d3",
}


def jar(name: str) -> Path:
    """Returns a jar, or the classes of an Android archive, from the cache or from Maven Central.

    Raises:
        OSError: The file cannot be downloaded, or is not the pinned file.
    """
    folder = default_cache_dir(os.environ) / "maven"
    path = folder / Path(name).with_suffix(".jar").name
    if not path.is_file():
        with urllib.request.urlopen(f"{CENTRAL}/{name}", timeout=TIMEOUT) as response:
            content = response.read()
        if hashlib.sha256(content).hexdigest() != {**COMPILER, **LIBRARIES}[name]:
            raise OSError(f"{CENTRAL}/{name}: not the pinned file")
        if name.endswith(".aar"):
            content = zipfile.ZipFile(io.BytesIO(content)).read("classes.jar")
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(content)
        part.replace(path)
    return path
