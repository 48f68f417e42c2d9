"""Keys of AWS that tests sign by, and what checks a signature."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs, quote, urlsplit

from tests.support.loopback import Request

REGION, KEY_ID, SECRET_KEY = "eu-central-1", "AKIDEXAMPLE", "wJalr/XUtn+FEMI-K7MDENG"
SESSION_TOKEN = "s3ssion+t0ken/=="
KEYS: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": KEY_ID,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_SESSION_TOKEN": SESSION_TOKEN,
}


def wrong_signature(request: Request, service: str) -> str:
    """What is wrong with the Signature Version 4 of a request, computed as AWS documents it; empty
    if nothing is."""
    method, target, _ = request.line.split()
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme != "AWS4-HMAC-SHA256":
        return "Missing Authentication Token"
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    names = parts["SignedHeaders"].split(";")
    own = {name for name in request.headers if name.startswith("x-amz-")}
    if not {"host", "x-amz-date", *own} <= set(names):
        return "headers that must be signed are not"
    key_id, day, region, named, _ = parts["Credential"].split("/")
    if (key_id, region, named) != (KEY_ID, REGION, service):
        return "Credential should be scoped to a valid region"
    if request.headers.get("x-amz-security-token", "") != SESSION_TOKEN:
        return "The security token included in the request is invalid."
    url = urlsplit(target)
    fields = sorted(parse_qs(url.query, keep_blank_values=True).items())
    canonical = "\n".join(
        [
            method,
            quote(url.path),
            "&".join(f"{quote(k, safe='-_.~')}={quote(v[0], safe='-_.~')}" for k, v in fields),
            *(f"{name}:{request.headers[name].strip()}" for name in names),
            "",
            parts["SignedHeaders"],
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(
        [
            "AWS4-HMAC-SHA256",
            request.headers["x-amz-date"],
            scope,
            hashlib.sha256(canonical.encode()).hexdigest(),
        ]
    )
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.new(key, text.encode(), "sha256").hexdigest()
    is_right = hmac.compare_digest(expected, parts["Signature"])
    return "" if is_right else "The request signature we calculated does not match"
