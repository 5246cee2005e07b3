"""Static files with their hash in the name, also inside ES-module imports."""

from __future__ import annotations

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage


class HashedStaticFiles(ManifestStaticFilesStorage):
    """Cached for ever by browsers, since a changed file has a new name."""

    support_js_module_import_aggregation = True
    manifest_strict = True
