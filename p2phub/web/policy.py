"""What browsers are told to allow: headers of the page, of cards and of everything else. Pure.

T46  a card is a stranger's text. It is made without any markup of its author's (`markdown`), and should one get
     through, its document may run and load nothing: sandboxed, with no origin, no scripts, one known style sheet.
T45  nothing of ours may be put into a frame of another site, or be loaded by one.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

CARD_STYLE = """
:root{color-scheme:light dark}
body{margin:0;padding:.25rem .1rem 1rem;font:1rem/1.6 system-ui,sans-serif;overflow-wrap:anywhere}
body{color:#1c2128;background:#fff}
h1,h2,h3,h4,h5,h6{line-height:1.25;margin:1.6em 0 .6em}h1{font-size:1.6rem}h2{font-size:1.3rem}h3{font-size:1.1rem}
a{color:#0b57d0}code,pre{font:.875em/1.5 ui-monospace,monospace;background:#f0f2f5;border-radius:.3em}
code{padding:.1em .3em}pre{padding:.8em 1em;overflow:auto}pre code{padding:0;background:none}
table{border-collapse:collapse;display:block;overflow:auto}
th,td{border:1px solid #c8ced6;padding:.3em .6em;text-align:left}
.center{text-align:center}.right{text-align:right}
blockquote{margin:1em 0;padding:0 1em;border-left:.25em solid #c8ced6;color:#57606a}img{max-width:100%;height:auto}
hr{border:0;border-top:1px solid #c8ced6}details{margin:0 0 1em}summary{cursor:pointer;color:#57606a}
@media(prefers-color-scheme:dark){body{color:#e3e8ee;background:#14181d}a{color:#8ab4f8}
code,pre{background:#22282f}th,td,hr,blockquote{border-color:#3d454f}blockquote,summary{color:#9aa4af}}
""".strip()
_STYLE_HASH = "'sha256-" + b64encode(sha256(CARD_STYLE.encode()).digest()).decode() + "'"

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; "
    f"style-src 'self' {_STYLE_HASH}; "  # Of a card that is put into a frame by `srcdoc`, which inherits this.
    "img-src 'self' data:; connect-src 'self'; font-src 'self'; frame-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
CARD_CONTENT_POLICY = f"default-src 'none'; style-src {_STYLE_HASH}; img-src data:; base-uri 'none'; form-action 'none'"
CARD_POLICY = f"sandbox allow-popups allow-popups-to-escape-sandbox; {CARD_CONTENT_POLICY}; frame-ancestors 'self'"
_NOTHING_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"

_ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
PAGE_HEADERS = (*_ALWAYS, ("Content-Security-Policy", PAGE_POLICY), ("Cross-Origin-Opener-Policy", "same-origin"))
CARD_HEADERS = (
    *_ALWAYS,
    ("Content-Security-Policy", CARD_POLICY),
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
)
FILE_HEADERS = (*_ALWAYS, ("Content-Security-Policy", _NOTHING_POLICY))
DATA_HEADERS = (*FILE_HEADERS, ("Cache-Control", "no-store"))
