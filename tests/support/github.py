"""A GitHub on loopback that keeps statuses and comments, by the documentation of its REST API
(version 2022-11-28)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

TOKEN = "ghs_C4naryS3cretTokenOfAJob0123456789abcd"
REPOSITORY = "acme/shop"
SHA = "a" * 40
STATES = {"error", "failure", "pending", "success"}
LONGEST_COMMENT = 65_536
BOT = {"login": "github-actions[bot]", "type": "Bot"}


@dataclass
class Github:
    """What it was told, and an answer that it gives to everything instead, if any."""

    statuses: list[dict[str, Any]] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    refusal: Response | None = None
    asked: list[str] = field(default_factory=list)

    def serve(self, server: HTTPServer) -> str:
        """The URL of its API."""
        server.expect_request(re.compile("/api/v3/.*")).respond_with_handler(self.answer)
        return server.url_for("/api/v3")

    def answer(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.path}")
        if self.refusal is not None:
            return self.refusal
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return said(401, "Bad credentials")
        assert request.headers["Accept"] == "application/vnd.github+json"
        assert request.headers["X-GitHub-Api-Version"] == "2022-11-28"
        assert request.headers["User-Agent"]
        base, path = f"/api/v3/repos/{REPOSITORY}", request.path
        if request.method == "POST" and (found := re.fullmatch(rf"{base}/statuses/(\w+)", path)):
            return self.set_status(found[1], json.loads(request.data))
        if found := re.fullmatch(rf"{base}/issues/(\d+)/comments", path):
            return (
                self.list_comments(request)
                if request.method == "GET"
                else self.comment(json.loads(request.data)["body"])
            )
        if request.method == "PATCH" and (
            found := re.fullmatch(rf"{base}/issues/comments/(\d+)", path)
        ):
            return self.edit(int(found[1]), json.loads(request.data)["body"])
        return said(404, "Not Found")

    def set_status(self, sha: str, body: dict[str, Any]) -> Response:
        if sha != SHA:
            return said(422, f"No commit found for SHA: {sha}")
        assert set(body) <= {"state", "target_url", "description", "context"}
        if (
            body["state"] not in STATES
            or len(body["description"]) > 140
            or len(body["context"]) > 255
        ):
            return said(422, "Validation Failed")
        self.statuses.append(body)
        return Response(json.dumps({"id": len(self.statuses), **body}), 201)

    def list_comments(self, request: Request) -> Response:
        size, page = int(request.args.get("per_page", "30")), int(request.args.get("page", "1"))
        return Response(json.dumps(self.comments[(page - 1) * size : page * size]), 200)

    def comment(self, body: str, user: dict[str, str] = BOT, association: str = "NONE") -> Response:
        if len(body) > LONGEST_COMMENT:
            return said(422, "body is too long (maximum is 65536 characters)")
        self.comments.append(
            {
                "id": 100 + len(self.comments),
                "body": body,
                "user": user,
                "author_association": association,
            }
        )
        return Response(json.dumps(self.comments[-1]), 201)

    def edit(self, number: int, body: str) -> Response:
        self.comments[number - 100]["body"] = body
        return Response(json.dumps(self.comments[number - 100]), 200)


def said(status: int, message: str, **headers: str) -> Response:
    """An error as GitHub says it; `Retry_After="5"` is a header."""
    body = json.dumps({"message": message, "documentation_url": "https://docs.github.com/rest"})
    return Response(
        body, status, {name.replace("_", "-"): value for name, value in headers.items()}
    )
