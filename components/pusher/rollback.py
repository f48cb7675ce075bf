"""Rolls back to an earlier version, records the person, and keeps later runs from serving the old version again."""

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
    """Returns the versions of a pipeline in a local folder or, if the root is a URI, in an object store.

    Arguments and errors are those of `VersionStore`.
    """
    if "://" not in root:
        return VersionStore(root, pipeline, create=create)
    # Imports TFX, which takes seconds.
    from components.pusher.object_store import ObjectVersionStore

    return ObjectVersionStore(root, pipeline, create=create)


def damage(store: AnyStore, version: str) -> str:
    """Returns the damage to the files of a version, in one line; empty if they are as they were pushed."""
    with store.here(version) as folder:
        try:
            open_artifact(folder)
        except ArtifactError as error:
            return str(error).replace(str(folder), f"{store.folder}/{version}")
    return ""


def rollback(store: AnyStore, to: str | None = None) -> dict[str, Any]:
    """Serves another version. Versions do not change; the next push gets a new number and is served.

    Args:
        store: the versions.
        to: name of the version to serve; by default the newest version that is older than the served one and was not
            rolled back to an older one.

    Returns:
        The entry of the history: `time` (UTC), `who`, `from` and `to`.

    Raises:
        StoreError: the version does not exist or is damaged, there is no older version, or an entry of the history is
            damaged.
    """
    with store.lock():
        versions, latest = store.versions(), store.latest()
        if not versions:
            raise StoreError(f"{store.folder}: has no versions")
        if to is None:
            older = [version for version in versions if latest and latest.isdecimal() and int(version) < int(latest)]
            # A version that was left for a newer one is not a bad version.
            bad = {name for name, entry in rolled_back(store).items() if name in older and int(entry["to"]) < int(name)}
            good = [version for version in older if version not in bad]
            if not good:
                problem = f"no version is older than version {latest}" if latest else "no version is served"
                if bad:
                    problem = f"all versions older than version {latest} were rolled back"
                raise StoreError(
                    f"{store.folder}: {problem}; there are {', '.join(versions)}; choose one with --to VERSION"
                )
            to = good[-1]
        if to not in versions:
            raise StoreError(f"{store.folder}: no version {to}; there are {', '.join(versions)}")
        if to == latest:
            raise StoreError(f"{store.folder}: version {to} is served already")
        if problem := damage(store, to):
            raise StoreError(f"version {to} is damaged, {latest} stays served: {problem}")
        entry = {
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "who": f"{_user()}@{platform.node()}",
            "from": latest,
            "to": to,
        }
        # Recorded first: a kill in between leaves an entry without a rollback, but never a rollback without an entry.
        store.record(entry)
        store.point_latest_at(to)
    return entry


def rolled_back(store: AnyStore) -> dict[str, dict[str, Any]]:
    """Returns the versions that were rolled back and not served again since, each with its entry of the history."""
    entries: dict[str, dict[str, Any]] = {}
    for entry in store.history():
        if entry["from"]:
            entries[entry["from"]] = entry
        entries.pop(entry["to"], None)
    entries.pop(store.latest() or "", None)
    return entries


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # The user of a container may have no name.
        return str(os.getuid())
