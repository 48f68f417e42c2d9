"""The running pipeline as a release, by the variables that each CI system documents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from anomaly.errors import CollectError
from anomaly.model import Release, Window
from anomaly.releases.ci import PIPELINES, CiReleases
from tests.support.places import ROOT

NOW = datetime(2025, 6, 3, 10, tzinfo=UTC)
DAY = Window(NOW - timedelta(days=1), NOW)
SHA = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    ("environ", "version", "environment"),
    [
        ({"CIRCLECI": "true", "CIRCLE_SHA1": SHA}, SHA[:8], ""),
        ({"CIRCLECI": "true", "CIRCLE_TAG": "v1.2", "CIRCLE_SHA1": SHA}, "v1.2", ""),
        ({"BUILDKITE": "true", "BUILDKITE_TAG": "", "BUILDKITE_COMMIT": SHA}, SHA[:8], ""),
        (
            {"TF_BUILD": "True", "BUILD_SOURCEBRANCH": "refs/tags/1.2", "BUILD_SOURCEVERSION": SHA},
            "1.2",
            "",
        ),
        (
            {"TF_BUILD": "True", "BUILD_SOURCEBRANCH": "refs/heads/a", "BUILD_SOURCEVERSION": SHA},
            SHA[:8],
            "",
        ),
        ({"VERCEL": "1", "VERCEL_GIT_COMMIT_SHA": SHA}, SHA[:8], ""),
        ({"NETLIFY": "true", "COMMIT_REF": SHA}, SHA[:8], ""),
        (
            {
                "BITBUCKET_BUILD_NUMBER": "7",
                "BITBUCKET_COMMIT": SHA,
                "BITBUCKET_DEPLOYMENT_ENVIRONMENT": "production",
            },
            SHA[:8],
            "production",
        ),
        ({"JENKINS_URL": "https://ci", "GIT_COMMIT": SHA}, SHA[:8], ""),
        ({"JENKINS_URL": "https://ci", "TAG_NAME": "v2", "GIT_COMMIT": SHA}, "v2", ""),
    ],
)
def test_a_pipeline_is_the_release_of_its_tag_or_commit(
    environ: dict[str, str], version: str, environment: str
) -> None:
    found = CiReleases(environ=environ).discover(DAY)

    assert found == [Release(NOW, version=version, environment=environment)]


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        ({}, "not running in a pipeline.*Jenkins"),
        ({"CIRCLECI": "false"}, "not running in a pipeline"),
        ({"NETLIFY": "true"}, "does not set COMMIT_REF"),
        ({"BUILDKITE": "true", "BUILDKITE_COMMIT": "HEAD"}, "BUILDKITE_COMMIT is not a commit"),
    ],
)
def test_what_is_no_pipeline_with_a_commit_is_refused(environ: dict[str, str], error: str) -> None:
    with pytest.raises(CollectError, match=error):
        CiReleases(environ=environ).discover(DAY)


def test_the_page_names_the_variables_of_every_system() -> None:
    page = (ROOT / "docs" / "releases.md").read_text(encoding="utf-8")

    for each in PIPELINES:
        names = (each.name, each.mark, each.tag, each.commit, each.environment)
        assert all(name in page for name in names), each.name
