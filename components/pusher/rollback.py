"""Lets `latest` name another version, keeps who did it, and knows which versions are not to come back by themselves."""

from __future__ import annotations

import getpass
import os
import platform
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

from components.pusher.store import StoreError, VersionStore
from on_device.artifact import open_artifact
from on_device.errors import ArtifactError

if TYPE_CHECKING:
    from components.pusher.object_store import ObjectVersionStore

AnyStore: TypeAlias = "VersionStore | ObjectVersionStore"


def open_store(root: str, pipeline: str, *, create: bool = True) -> AnyStore:
    """The versions of a pipeline in a folder or, where the root is a URI, in an object store.

    TFX is imported for URIs alone, whose file systems it knows.

    Args:
        root: the serving folder.
        pipeline: name of the pipeline.
        create: whether to make the folder, and to make sure that it can be written to.

    Raises:
        StoreError: it cannot be written to.
    """
    if "://" not in root:
        return VersionStore(root, pipeline, create=create)
    from components.pusher.object_store import ObjectVersionStore

    return ObjectVersionStore(root, pipeline, create=create)


def damage(store: AnyStore, version: str) -> str:
    """What is wrong with the files of a version, one line; empty where they are those that were pushed."""
    with store.here(version) as folder:
        try:
            open_artifact(folder)
        except ArtifactError as error:
            return str(error).replace(str(folder), f"{store.folder}/{version}")
    return ""


def rollback(store: AnyStore, to: str | None = None) -> dict[str, Any]:
    """Serve another version. Versions stay as they are; the next push has a new number and is served.

    Args:
        store: the versions.
        to: which; by default the whole version before the one that is served.

    Returns:
        The entry of the history: `time` (UTC), `who`, `from` and `to`.

    Raises:
        StoreError: there is no such version, nothing older, or the version is damaged.
    """
    with store.hold():
        versions, latest = store.versions(), store.latest()
        if not versions:
            raise StoreError(f"{store.folder}: holds no version")
        if to is None:
            older = [version for version in versions if latest and latest.isdecimal() and int(version) < int(latest)]
            if not older:
                raise StoreError(
                    f"{store.folder}: nothing is older than {f'version {latest}' if latest else 'what is served'}; "
                    f"there are {', '.join(versions)} (--to VERSION)"
                )
            to = older[-1]
        if to not in versions:
            raise StoreError(f"{store.folder}: no version {to}; there are {', '.join(versions)}")
        if to == latest:
            raise StoreError(f"{store.folder}: version {to} is served already")
        if wrong := damage(store, to):
            raise StoreError(f"version {to} is damaged, {latest} stays served: {wrong}")
        entry = {
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "who": f"{_user()}@{platform.node()}",
            "from": latest,
            "to": to,
        }
        # Before the change: killed in between, an entry is there for what was not done, but nothing is done unsaid.
        store.record(entry)
        store.point_latest_at(to)
    return entry


def rolled_back(store: AnyStore) -> dict[str, dict[str, Any]]:
    """The versions that were taken out of service and not put into it again, each with its entry of the history."""
    out: dict[str, dict[str, Any]] = {}
    for entry in store.history():
        if entry["from"]:
            out[entry["from"]] = entry
        out.pop(entry["to"], None)
    out.pop(store.latest() or "", None)
    return out


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container's user need not have a name.
        return str(os.getuid())
