"""What the site has besides the files of this folder: the notebooks of examples/notebooks."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

EXAMPLES = Path("examples")


@event_priority(100)  # before mkdocs-jupyter, which makes pages of them
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks, as notebooks/NAME/."""
    for path in sorted(EXAMPLES.glob("notebooks/*.ipynb")):
        name = path.relative_to(EXAMPLES).as_posix()
        files.append(File(name, str(EXAMPLES), config.site_dir, config.use_directory_urls))
    return files
