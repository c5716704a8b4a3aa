"""The page at `/` of the control address: what runs and how to look, for a browser that has followed the link."""

from __future__ import annotations

import hashlib
import hmac
from html import escape

from mesh.runtime.messages import ServiceState, Snapshot

_HEAD = """\
<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<h1>{title}</h1>
"""
_COMMANDS = """\
<p>In the project's folder, a terminal shows what happens there:</p>
<pre>mesh ps               what runs, and where
mesh traces           the last requests
mesh trace ID         one request, call by call
mesh logs -f          what the services write
mesh top              calls by route</pre>
</html>
"""
#: For a browser without the link: it says nothing about what runs.
STRANGERS_PAGE = f"""\
{_HEAD.format(title="mesh")}<p>This is the control address of a running mesh.
The link that <code>mesh up</code> prints in its terminal shows what runs.</p>
{_COMMANDS}"""


def page_token(token: str) -> str:
    """Return the token of the link, with which the page can be read and nothing can be done."""
    return hmac.new(token.encode(), b"page", hashlib.sha256).hexdigest()[:32]


def page_of(snapshot: Snapshot) -> str:
    """Return what runs now, as HTML."""
    rows = "".join(map(_row, snapshot.services))
    return f"{_HEAD.format(title=f'mesh: {escape(snapshot.topology)}')}<table>\n{rows}</table>\n{_COMMANDS}"


def _row(state: ServiceState) -> str:
    places = [f'<a href="{url}/" rel="noreferrer">{url}</a>' for url in state.urls]
    places += state.places
    cells = (escape(state.name), escape(state.state), " ".join(places), escape(state.reason or ""))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>\n"
