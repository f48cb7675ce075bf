"""The artifact type of this pipeline."""

from __future__ import annotations

from tfx.types.artifact import Artifact


class ItemCatalog(Artifact):
    """The catalogue of items, and facts about the data.

    `items.jsonl` has one object per line: `id`, `title`, `genres`, `year`, `features` and `ratings`, the number of its
    interactions in all splits. `dataset.json` describes the data.

    TFX on Kubeflow Pipelines imports the class of a custom artifact by its type name, which may contain only one dot,
    and supports only custom properties for it.
    """

    TYPE_NAME = "components.ItemCatalog"
