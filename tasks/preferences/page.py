"""One HTML page on which a judge chooses for each pair. It loads nothing from the network; every text is escaped."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from markupsafe import Markup

from tasks.core.pages import pages
from tasks.preferences.pairs import Shown

PAGE, SCRIPT = "page.html.jinja", "page.js.jinja"


def page(export: str, pairs: list[Shown]) -> str:
    """Render the page. Its Content-Security-Policy allows only its own script, identified by its hash."""
    environment = pages(Path(__file__).parent)
    script = environment.get_template(SCRIPT).render(export=export)
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template(PAGE).render(
        export=export, pairs=pairs, script=Markup(script), script_hash=f"sha256-{hashed}"
    )
