# SPDX-License-Identifier: Apache-2.0
"""What gunicorn serves: /status/CODE at once, /read/CODE once the body was read."""

import re


def application(environ, start_response):
    path = re.fullmatch(r"/(status|read)/(\d{3})", environ["PATH_INFO"])
    if path and path[1] == "read":
        environ["wsgi.input"].read()
    code = path[2] if path else "404"
    body = b"" if code == "204" or environ["REQUEST_METHOD"] == "HEAD" else b"\r\nHTTP/1.1 500 No\r\n\r\n"
    start_response(f"{code} Said", [("Content-Length", str(len(body)))])
    return [body]
